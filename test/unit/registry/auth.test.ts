// What the authenticator refuses to do, and tokens that are older than their arrival, without any server.
import { expect, test } from "vitest";
import { Authenticator, type AuthSubject } from "../../../src/registry/auth.ts";
import type { HttpRequest, HttpResponse } from "../../../src/registry/http-message.ts";

const subject: AuthSubject = {
  host: "r.io",
  credentialHost: "r.io",
  repository: "app",
  scopes: ["repository:app:pull"],
  allowsPlain: false,
  isInsecure: false,
  purpose: { verb: "pull", subject: "r.io/app:1", registry: "r.io" },
};

interface World {
  readonly auth: Authenticator;
  readonly sent: HttpRequest[];
  now: number;
}

function world(answer: { readonly body: object; readonly headers?: Readonly<Record<string, string>> }): World {
  const sent: HttpRequest[] = [];
  async function* body(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(JSON.stringify(answer.body));
  }
  const send = (request: HttpRequest): Promise<HttpResponse> => {
    sent.push(request);
    return Promise.resolve({
      status: 200,
      headers: answer.headers ?? {},
      url: request.url,
      body: body(),
      discard: () => Promise.resolve(),
    });
  };
  const credentials = { kind: "password", username: "u", password: "geheim", source: "a test" } as const;
  const made: World = {
    sent,
    now: 0,
    auth: new Authenticator({
      send,
      credentials: { get: () => Promise.resolve({ credentials }), forget: () => undefined },
      clock: { now: () => made.now, sleep: () => Promise.resolve(), random: () => 0 },
    }),
  };
  return made;
}

test.each(["http://auth.io/token", "ftp://auth.io/", "nonsense", ""])(
  "credentials are not sent to the realm %j",
  async (realm) => {
    const { auth, sent } = world({ body: { token: "t" } });
    const answer = auth.answer(`Bearer realm="${realm}",service="s"`, subject, undefined);
    await expect(answer).rejects.toMatchObject({
      code: "registry",
      message: expect.not.stringContaining("geheim") as string,
    });
    expect(sent).toEqual([]);
  },
);

test("RG02, RG05: an insecure registry may have a plain token server", async () => {
  const { auth, sent } = world({ body: { token: "t" } });
  const given = await auth.answer('Bearer realm="http://auth.io/token"', { ...subject, allowsPlain: true }, undefined);
  expect(given?.header).toBe("Bearer t");
  expect(sent.length).toBe(1);
});

test("RG05: a token out of the server's cache is used for 90 % of what is left of it, by the server's own clock", async () => {
  const headers = { date: "Thu, 01 Jan 2015 00:01:40 GMT" };
  const made = world({ body: { token: "t", expires_in: 300, issued_at: "2015-01-01T00:00:00Z" }, headers });
  await made.auth.answer('Bearer realm="https://auth.io/token"', subject, undefined);
  made.now = 179_000;
  await made.auth.current(subject);
  expect(made.sent.length).toBe(1);
  made.now = 181_000;
  await made.auth.current(subject);
  expect(made.sent.length).toBe(2);
});

test("RG04: an unknown kind of challenge has no answer; an answer without a token is an error", async () => {
  const { auth } = world({ body: { nothing: 1 } });
  expect(await auth.answer('Negotiate abc, Digest realm="x"', subject, undefined)).toBeUndefined();
  await expect(auth.answer('Bearer realm="https://auth.io/token"', subject, undefined)).rejects.toThrow(
    "answered without a token",
  );
});
