import { InvalidParameter } from "./failures.js";

/** The JSON Schema of a stage's parameters: each is a property's schema; those without a default are required. */
export function schema(parameters) {
  if (!parameters) return "";
  return JSON.stringify({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: parameters,
    required: Object.keys(parameters).filter((name) => parameters[name].default === undefined),
    additionalProperties: false,
  });
}

const kindOf = (value) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value);

function fits(value, rule) {
  if (rule.enum) return rule.enum.includes(value);
  const kinds = [rule.type].flat();
  const kind = kindOf(value);
  const known = kinds.includes(kind) || (kind === "number" && kinds.includes("integer") && Number.isInteger(value));
  if (!known && rule.type) return false;
  if (value === null) return true;
  if (value < rule.minimum || value > rule.maximum) return false;
  return kind !== "array" || !rule.items || value.every((one) => fits(one, rule.items));
}

/** Reads parameters from JSON, with the defaults of what is not there. */
export function parse(parameters = {}, text) {
  let given;
  try {
    given = JSON.parse(text || "{}");
  } catch (error) {
    throw new InvalidParameter(`the parameters are not JSON: ${error.message}`);
  }
  if (kindOf(given) !== "object") throw new InvalidParameter("the parameters are not a JSON object");
  const taken = {};
  for (const [name, rule] of Object.entries(parameters)) {
    if (Object.hasOwn(given, name)) {
      if (!fits(given[name], rule)) throw new InvalidParameter(`\`${name}\` cannot be ${JSON.stringify(given[name])}`);
      taken[name] = given[name];
    } else if (rule.default !== undefined) {
      taken[name] = rule.default;
    } else {
      throw new InvalidParameter(`the parameter \`${name}\` is missing`);
    }
  }
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(parameters, name));
  if (unknown !== undefined) throw new InvalidParameter(`unknown parameter \`${unknown}\``);
  return taken;
}
