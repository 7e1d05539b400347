-- The audit logs of all instances. The constraints are the chain: a block is there once, nothing has
-- two successors, and a block follows one that is there. Whoever may insert can neither change nor
-- remove a row.

CREATE TABLE rsfilter.block (
  instance name NOT NULL DEFAULT current_user,
  first bigint NOT NULL,
  last bigint NOT NULL,
  prev text NOT NULL CHECK (prev ~ '^[0-9a-f]{64}$'),
  hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
  at timestamptz NOT NULL DEFAULT now(),
  lines bytea NOT NULL CHECK (octet_length(lines) < 1048576),
  PRIMARY KEY (instance, hash),
  UNIQUE (instance, prev),
  UNIQUE (instance, first),
  CHECK (first >= 1 AND first <= last)
);
ALTER TABLE rsfilter.block ALTER COLUMN lines SET STORAGE EXTERNAL;  -- they are compressed
COMMENT ON TABLE rsfilter.block IS 'consecutive lines of an audit log: zlib, octet for octet';

CREATE TABLE rsfilter.genesis (
  instance name PRIMARY KEY,
  seq bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
  hash text NOT NULL DEFAULT repeat('0', 64) CHECK (hash ~ '^[0-9a-f]{64}$')
);
COMMENT ON TABLE rsfilter.genesis IS 'the record that the first block of an instance follows';

CREATE FUNCTION rsfilter.follows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM rsfilter.block b WHERE b.instance = NEW.instance
             AND b.hash = NEW.prev AND b.last = NEW.first - 1)
     OR EXISTS (SELECT FROM rsfilter.genesis g WHERE g.instance = NEW.instance
                AND g.hash = NEW.prev AND g.seq = NEW.first - 1) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'record % of % does not follow what is here', NEW.first, NEW.instance
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
REVOKE ALL ON FUNCTION rsfilter.follows() FROM PUBLIC;
CREATE TRIGGER follows BEFORE INSERT ON rsfilter.block
  FOR EACH ROW EXECUTE FUNCTION rsfilter.follows();

-- Retention, for the owner only: removes blocks that came before a time, but for the newest of each
-- instance, which is where it goes on. A clock that was wrong for a while has stamped some of them
-- wrong, so that nothing after the first block that is young enough is removed.
CREATE FUNCTION rsfilter.prune(before timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one record;
  removed bigint;
  total bigint := 0;
BEGIN
  FOR one IN
    SELECT DISTINCT ON (b.instance) b.instance, b.last, b.hash FROM rsfilter.block b
    WHERE b.first < (
      SELECT coalesce(min(n.first) FILTER (WHERE n.at >= before), max(n.first))
      FROM rsfilter.block n WHERE n.instance = b.instance)
    ORDER BY b.instance, b.first DESC
  LOOP
    UPDATE rsfilter.genesis g SET seq = one.last, hash = one.hash WHERE g.instance = one.instance;
    DELETE FROM rsfilter.block b WHERE b.instance = one.instance AND b.last <= one.last;
    GET DIAGNOSTICS removed = ROW_COUNT;
    total := total + removed;
  END LOOP;
  RETURN total;
END $$;
REVOKE ALL ON FUNCTION rsfilter.prune(timestamptz) FROM PUBLIC;

ALTER TABLE rsfilter.block ENABLE ROW LEVEL SECURITY;
ALTER TABLE rsfilter.genesis ENABLE ROW LEVEL SECURITY;
CREATE POLICY write_own ON rsfilter.block FOR INSERT TO rsfilter_instance
  WITH CHECK (instance = current_user);
CREATE POLICY read_own ON rsfilter.block FOR SELECT TO rsfilter_instance
  USING (instance = current_user);
CREATE POLICY read_all ON rsfilter.block FOR SELECT TO rsfilter_collector USING (true);
CREATE POLICY read_own ON rsfilter.genesis FOR SELECT TO rsfilter_instance
  USING (instance = current_user);
CREATE POLICY read_all ON rsfilter.genesis FOR SELECT TO rsfilter_collector USING (true);

GRANT SELECT, INSERT (first, last, prev, hash, lines) ON rsfilter.block TO rsfilter_instance;
GRANT SELECT ON rsfilter.genesis TO rsfilter_instance;
GRANT SELECT ON rsfilter.block, rsfilter.genesis TO rsfilter_collector;
