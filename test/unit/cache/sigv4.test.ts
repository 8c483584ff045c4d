// The examples of docs.aws.amazon.com, "Signature Calculations for the Authorization Header".
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { EMPTY_PAYLOAD, encodePath, encodeQuery, signedHeaders } from "../../../src/cache/sigv4.ts";

const scope = {
  credentials: { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" },
  region: "us-east-1",
  nowIso: "2013-05-24T00:00:00.000Z",
};

function signatureOf(headers: Readonly<Record<string, string>>): string | undefined {
  return /Signature=(.*)$/.exec(headers["authorization"] ?? "")?.[1];
}

test("G06: GET of an object with a range", () => {
  const request = {
    method: "GET",
    url: new URL("https://examplebucket.s3.amazonaws.com/test.txt"),
    headers: { range: "bytes=0-9" },
    payloadHash: EMPTY_PAYLOAD,
  };
  expect(signatureOf(signedHeaders(request, scope))).toBe(
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );
});

test("G06: PUT of an object", () => {
  const url = new URL("https://examplebucket.s3.amazonaws.com/");
  url.pathname = encodePath("test$file.text");
  const request = {
    method: "PUT",
    url,
    headers: { date: "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY" },
    payloadHash: createHash("sha256").update("Welcome to Amazon S3.").digest("hex"),
  };
  expect(signatureOf(signedHeaders(request, scope))).toBe(
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  );
});

test("G06: a query, sorted, with empty values", () => {
  const url = new URL("https://examplebucket.s3.amazonaws.com/");
  url.search = encodeQuery({ prefix: "J", "max-keys": "2" });
  expect(signatureOf(signedHeaders({ method: "GET", url, headers: {}, payloadHash: EMPTY_PAYLOAD }, scope))).toBe(
    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  );
  expect(encodeQuery({ uploads: "" })).toBe("uploads=");
  expect(encodePath("blobs/sha256:a b+c(1)")).toBe("blobs/sha256%3Aa%20b%2Bc%281%29");
});

test("G06: a session token is signed", () => {
  const withToken = { ...scope, credentials: { ...scope.credentials, sessionToken: "token" } };
  const url = new URL("https://b.s3.amazonaws.com/");
  const headers = signedHeaders({ method: "GET", url, headers: {}, payloadHash: EMPTY_PAYLOAD }, withToken);
  expect(headers["x-amz-security-token"]).toBe("token");
  expect(headers["authorization"]).toContain("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token");
});
