// One search box: a prefix, an address, a host, an ASN or a neighbor, whole or in part.

import { get } from "/static/api.js";

const ASN = /^(?:AS)?(\d{1,10})$/i;
const PART_OF_IPV4 = /^(\d{1,3})\.(?:(\d{1,3})\.?)?(?:(\d{1,3})\.?)?$/;

// The address of the view that answers.
export async function find(wanted) {
  const { neighbors } = await get("neighbors");
  const is = (value) => value?.toLowerCase() === wanted.toLowerCase();
  const exact = neighbors.filter((n) => is(n.neighbor) || is(n.host));
  if (exact.length === 1) return `#/neighbor/${encodeURIComponent(exact[0].neighbor)}`;
  if (exact.length) return `#/neighbors?find=${encodeURIComponent(wanted)}`;
  const asn = ASN.exec(wanted)?.[1];
  if (asn) {
    const isKnown = neighbors.some((n) => n.asn === Number(asn));
    return isKnown ? `#/neighbors?find=AS${asn}` : `#/routes?asn=${asn}`;
  }
  return byPrefix(wanted) ?? `#/neighbors?find=${encodeURIComponent(wanted)}`;
}

function byPrefix(wanted) {
  const part = PART_OF_IPV4.exec(wanted);
  if (part) {
    const octets = part.slice(1).filter((octet) => octet !== undefined);
    return covered(`${[...octets, 0, 0, 0].slice(0, 4).join(".")}/${8 * octets.length}`);
  }
  const isAddress = /^[0-9.]+$/.test(wanted) || (wanted.includes(":") && /^[0-9a-f:.]+$/i.test(wanted));
  if (isAddress) return `#/route/${encodeURIComponent(wanted)}`;
  if (!/^[0-9a-f:.]+\/\d{1,3}$/i.test(wanted)) return null;
  const isHostRoute = wanted.includes(":") ? wanted.endsWith("/128") : wanted.endsWith("/32");
  return isHostRoute ? `#/route/${encodeURIComponent(wanted)}` : covered(wanted);
}

function covered(prefix) {
  return `#/routes?${new URLSearchParams({ prefix, match: "covered" })}`;
}
