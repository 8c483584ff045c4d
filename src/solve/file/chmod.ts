// --chmod: octal numbers and the symbolic modes of BSD's chmod(1), with a umask of 0 (reference C11).
import { unreachable } from "../../base/assert.ts";
import { BuildError } from "../../diagnostics/build-error.ts";

export interface Chmod {
  /** Mode of directories that have to be made on the way: permission bits of the octal number, 0755 for symbolic modes. */
  readonly parentMode: number;
  /** New mode of an object that had `mode`. */
  apply(mode: number, isDirectory: boolean): number;
}

const SET_IDS = 0o6000;
const STICKY = 0o1000;
const ALL = SET_IDS | 0o777;
const WHO: Readonly<Record<string, number>> = { a: ALL, u: 0o4700, g: 0o2070, o: 0o007 };
const PERMISSIONS: Readonly<Record<string, number>> = { r: 0o444, w: 0o222, x: 0o111 };
const SHIFTS: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

type Operator = "+" | "-" | "=";
type Step = (mode: number, before: { readonly mode: number; readonly isDirectory: boolean }) => number;

/** Parses a mode. Fails with `usage`. */
export function parseChmod(text: string): Chmod {
  if (/^[0-7]+$/.test(text)) return octalChmod(text);
  const steps = text.split(",").flatMap((clause) => parseClause(clause, text));
  return {
    parentMode: 0o755,
    apply: (mode, isDirectory) => steps.reduce((current, step) => step(current, { mode, isDirectory }), mode),
  };
}

function octalChmod(text: string): Chmod {
  const mode = Number.parseInt(text, 8);
  if (mode > 0o7777) throw badMode(text);
  return { parentMode: mode & 0o777, apply: () => mode };
}

function badMode(text: string): BuildError {
  const isNumber = text === "" || /^\d/.test(text);
  const message = isNumber
    ? `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`
    : `invalid syntax of the chmod parameter '${text}'`;
  return new BuildError("source", message, {
    help: 'write an octal mode such as 0755 or a symbolic one such as "u=rwX,go=rX"',
  });
}

/** `[ugoa]*` and one or more of `[+-=][rwxXstugo]*`. */
function parseClause(clause: string, text: string): Step[] {
  const match = /^([ugoa]*)((?:[+=-][rwxXstugo]*)+)$/.exec(clause);
  if (!match) throw badMode(text);
  const who = match[1]!.split("").reduce((bits, letter) => bits | WHO[letter]!, 0);
  return [...match[2]!.matchAll(/([+=-])([rwxXstugo]*)/g)].flatMap(([, operator, letters]) => {
    return parseAction(who, operator as Operator, letters!);
  });
}

/** The steps of one operator and its letters. Copies (`u`, `g`, `o`) take effect in order; what is before them is done before. */
function parseAction(clauseWho: number, operator: Operator, letters: string): Step[] {
  const steps: Step[] = [];
  // Without "ugoa" everyone is meant. "s" and "t" mean nothing to "others" alone.
  const reachesSpecial = clauseWho === 0 || (clauseWho & ~0o007) !== 0;
  let [who, bits, conditional, isAssigned] = [clauseWho, 0, 0, false];
  const flush = (isLast: boolean): void => {
    if (bits !== 0 || (isLast && operator === "=" && !isAssigned)) steps.push(setStep(operator, who, bits));
    if (conditional !== 0) steps.push(conditionalStep(operator, who, conditional));
    [bits, conditional] = [0, 0];
  };
  for (const letter of letters) {
    if (letter === "s") bits |= reachesSpecial ? SET_IDS : 0;
    else if (letter === "t") {
      if (!reachesSpecial) continue;
      if (who !== 0) who |= STICKY;
      bits |= STICKY;
    } else if (letter === "X") conditional = 0o111;
    else if (PERMISSIONS[letter] !== undefined) bits |= PERMISSIONS[letter];
    else {
      flush(false);
      if (operator === "=") isAssigned = true;
      steps.push(copyStep(operator, who, SHIFTS[letter]!));
    }
  }
  flush(true);
  return steps;
}

function setStep(operator: Operator, who: number, bits: number): Step {
  const changed = who === 0 ? bits : bits & who;
  switch (operator) {
    case "+":
      return (mode) => mode | changed;
    case "-":
      return (mode) => mode & ~changed;
    case "=":
      return (mode) => (mode & ~(who === 0 ? ALL : who)) | changed;
    default:
      return unreachable(operator);
  }
}

/** `X`: execute and search, where it is a directory or somebody may execute it already. */
function conditionalStep(operator: Operator, who: number, bits: number): Step {
  const changed = who === 0 ? bits : bits & who;
  if (operator === "-") return (mode) => mode & ~changed;
  return (mode, before) => ((before.mode & 0o111) !== 0 || before.isDirectory ? mode | changed : mode);
}

/** `u`, `g`, `o` to the right of the operator: the permissions that user, group or others have now. */
function copyStep(operator: Operator, who: number, shift: number): Step {
  const targets = [6, 3, 0].filter((target) => who === 0 || (who & (0o400 >> (6 - target))) !== 0);
  return (mode) => {
    const value = (mode >> shift) & 7;
    return targets.reduce((result, target) => {
      if (operator === "+") return result | (value << target);
      if (operator === "-") return result & ~(value << target);
      return (result & ~(7 << target)) | (value << target);
    }, mode);
  };
}
