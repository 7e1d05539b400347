-- How each instance is, and where two of them differ. An instance writes through `beat` alone, its own
-- row; all instances read all rows, so that each can compare itself with the others.

ALTER TABLE rsfilter.fleet ADD COLUMN key text NOT NULL
  DEFAULT gen_random_uuid()::text || gen_random_uuid()::text;
COMMENT ON COLUMN rsfilter.fleet.key IS 'of the digests of tables: hosts must not foresee them';

CREATE TABLE rsfilter.status (
  instance name PRIMARY KEY,
  at timestamptz NOT NULL,
  state jsonb NOT NULL CHECK (octet_length(state::text) < 65536),
  detail jsonb CHECK (octet_length(detail::text) < 4194304)
);
COMMENT ON TABLE rsfilter.status IS 'the newest heartbeat of each instance';

CREATE FUNCTION rsfilter.beat(state jsonb, detail jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM rsfilter.genesis g WHERE g.instance = session_user) THEN
    RAISE EXCEPTION '% is no instance of this fleet', session_user
      USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO rsfilter.status AS s (instance, at, state, detail)
  VALUES (session_user, clock_timestamp(), beat.state, beat.detail)
  ON CONFLICT (instance) DO UPDATE
  SET at = EXCLUDED.at, state = EXCLUDED.state, detail = EXCLUDED.detail;
END $$;
REVOKE ALL ON FUNCTION rsfilter.beat(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rsfilter.beat(jsonb, jsonb) TO rsfilter_instance;
GRANT SELECT ON rsfilter.status TO rsfilter_instance, rsfilter_collector;
