// The folders of fixtures/checks: questions about a Dockerfile, and what docker buildx answered.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./cases.ts";

export const CHECKS: string = join(PROJECT, "fixtures/checks");

export function checkCases(): readonly string[] {
  return readdirSync(CHECKS).sort();
}

export interface Answer {
  /** Arguments of docker build, without the context. */
  readonly question: string;
  /** Standard output. */
  readonly answer: string;
  readonly code: number;
  /** "" = none. */
  readonly error: string;
}

/** Every `$ build QUESTION` of an answers.txt with what follows it. */
export function answersIn(text: string): readonly Answer[] {
  return text
    .split(/^(?=\$ build )/m)
    .filter((part) => part !== "")
    .map((part) => {
      const [, question = "", answer = "", code, error = ""] =
        /^\$ build (.*)\n((?:.*\n)*?)(?:\[exit code (\d+)(?:: (.*))?\]\n)?$/.exec(part) ?? [];
      return { question, answer, code: Number(code ?? 0), error };
    });
}

export function wordsOf(question: string): readonly string[] {
  return question.split(" ").filter((word) => word !== "");
}
