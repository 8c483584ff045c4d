// Words of failures: what they must say and what they must never say.
import { expect, test } from "vitest";
import { accessFailure, redactUrl, serverMessage, transportFailure } from "../../../src/registry/errors.ts";
import { asTransportError, TransportError } from "../../../src/registry/transport-error.ts";

const purpose = { verb: "push", subject: "r.io/a:1", registry: "r.io" } as const;
const url = new URL("https://r.io/v2/");

test("RG22: the registry's own words, in one line, bounded", () => {
  expect(serverMessage('{"errors":[{"code":"DENIED","message":"no\\nway","detail":{}},{"code":"X"}]}')).toBe(
    "DENIED: no way; X",
  );
  expect(serverMessage('{"error":"invalid_grant","error_description":"expired"}')).toBe("invalid_grant; expired");
  expect(serverMessage("<html>")).toBe("");
  expect(serverMessage("null")).toBe("");
  expect(serverMessage(JSON.stringify({ errors: [{ message: "x".repeat(9999) }] })).length).toBe(400);
});

test("RG22: tokens, passwords in URLs and signatures are taken out", () => {
  const text = serverMessage(
    JSON.stringify({
      errors: [{ message: "Bearer abcdefghijkl of https://u:geheim@h/x?sig=geheim and eyJhbGciOi.eyJzdWIi.abc" }],
    }),
  );
  expect(text).toBe("Bearer *** of https://***@h/x?*** and ***");
  expect(redactUrl(new URL("https://u:p@r.io/v2/x/blobs/uploads/1?_state=geheim&digest=sha256:1"))).toBe(
    "https://r.io/v2/x/blobs/uploads/1?digest=sha256%3A1",
  );
});

test("RG22: a refusal says whether credentials were sent and from where, with BuildKit's text", () => {
  const found = {
    credentials: { kind: "password", username: "u", password: "geheim", source: "/h/config.json" },
  } as const;
  const { error } = accessFailure(401, "UNAUTHORIZED: no", purpose, found);
  expect(error.message).toBe(
    "r.io/a:1: push access denied, repository does not exist or may require authorization: server message: UNAUTHORIZED: no (HTTP 401, credentials from /h/config.json were sent)",
  );
  const { error: anonymous } = accessFailure(
    403,
    "",
    { ...purpose, verb: "pull" },
    { problem: "docker-credential-x is not installed" },
  );
  expect(anonymous.message).toContain(
    "pull access denied, repository does not exist or may require authorization (HTTP 403, no credentials were sent: docker-credential-x",
  );
  expect(anonymous).toMatchObject({
    code: "registry",
    help: expect.stringContaining("docker login r.io") as string,
    details: { status: 403, isTransient: false },
  });
});

test.each([
  ["ENOTFOUND", 'cannot reach the registry "r.io": no such host', false],
  ["ECONNREFUSED", 'cannot reach the registry "r.io": connection refused', true],
  ["CERT_HAS_EXPIRED", 'cannot trust the registry "r.io": raw', false],
  ["EPROTO", 'cannot talk to the registry "r.io": no TLS spoken there', false],
  ["HPE_INVALID_CONSTANT", 'cannot talk to the registry "r.io": no HTTP spoken there', false],
  ["ECONNRESET", 'push failed: the registry "r.io": connection broken (ECONNRESET)', true],
  ["EPIPE", 'push failed: the registry "r.io": connection broken (EPIPE)', true],
])("%s becomes %j", (code, message, isTransient) => {
  const raw = asTransportError(Object.assign(new Error("raw\nrest"), { code }), url) as TransportError;
  const failure = transportFailure(raw, purpose);
  expect(failure).toMatchObject({ isTransient, error: { message, code: "registry", details: { isTransient } } });
  expect(failure.error.help).toBeTruthy();
});

test("a name with several addresses counts by the first one's failure; another host than the registry is named", () => {
  const both = new AggregateError([Object.assign(new Error("a"), { code: "ECONNREFUSED" })]);
  expect(asTransportError(both, url)).toMatchObject({ kind: "unreachable", code: "ECONNREFUSED" });
  const elsewhere = new TransportError("timeout", new URL("https://blobs.io/x"), "silent");
  expect(transportFailure(elsewhere, purpose).error.message).toBe(
    'push failed: blobs.io for the registry "r.io": silent',
  );
});
