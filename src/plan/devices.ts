// `RUN --device=NAME[,required[=BOOL]]`: names of CDI devices, which only the machine that runs the step knows (reference R06).
import { parseGoBool } from "../base/go-text.ts";
import type { DeviceRequest } from "../graph/op.ts";

/** A device as it is asked for, or what is wrong with the words. Fields are separated by commas; nothing is expanded. */
export function parseDevice(text: string): DeviceRequest | { readonly problem: string; readonly help: string } {
  let name: string | undefined;
  let isRequired = false;
  for (const field of text.split(",")) {
    const cut = field.indexOf("=");
    const key = (cut < 0 ? field : field.slice(0, cut)).toLowerCase();
    const value = cut < 0 ? undefined : field.slice(cut + 1);
    if (key === "required") {
      const isSet = value === undefined ? true : parseGoBool(value);
      if (isSet === undefined) return { problem: `invalid value for required: ${value}`, help: "write true or false" };
      isRequired = isSet;
    } else if (key === "name" && value !== undefined) name = value;
    // A device's own name may hold "=": vendor.com/class=device.
    else if (name === undefined && field !== "") name = field;
    else if (value === undefined)
      return { problem: `invalid field '${field}' must be a key=value pair`, help: "write NAME, then required" };
    else return { problem: `unexpected key '${key}' in '${field}'`, help: "the keys are name and required" };
  }
  if (name === undefined || name === "")
    return { problem: "device has no name", help: "write it as vendor.com/class=device" };
  if (!/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*(?:=.*)?$/.test(name))
    return { problem: `invalid device ${JSON.stringify(name)}`, help: "write it as vendor.com/class=device" };
  return { name, isRequired };
}
