/** A form of the parameters of an algorithm, made from their JSON schema. Only values that differ from the defaults are kept. */

import type { Schemas } from "../api/client";

type Params = Record<string, unknown>;
type Algorithm = Schemas["AlgorithmOut"];

interface Property {
  type?: string;
  enum?: (string | number)[];
  const?: unknown;
  default?: unknown;
  description?: string;
  minimum?: number;
  maximum?: number;
}

export function ParamsForm({ algorithms, params, onChange }: { algorithms: Algorithm[]; params: Params; onChange: (params: Params) => void }) {
  const chosen = algorithms.find((one) => one.name === params.algorithm);
  const schema = chosen?.parameters as { properties?: Record<string, Property>; $defs?: Record<string, Property> } | undefined;
  const properties = Object.entries(schema?.properties ?? {}).filter(([name]) => name !== "algorithm");
  const set = (name: string, value: unknown, fallback: unknown) => {
    const { [name]: _, ...others } = params;
    onChange(value === fallback || value === undefined ? others : { ...others, [name]: value });
  };
  return (
    <>
      <label>
        Method
        <select aria-label="Method" value={String(params.algorithm)} onChange={(event) => onChange({ algorithm: event.currentTarget.value })}>
          {algorithms.map((one) => (
            <option key={one.name} value={one.name}>
              {one.name}
            </option>
          ))}
        </select>
        <small>{chosen?.summary}</small>
      </label>
      <div class="columns">
        {properties.map(([name, property]) => (
          <Field key={`${chosen?.name} ${name}`} name={name} property={property} value={params[name] ?? property.default} onChange={(value) => set(name, value, property.default)} />
        ))}
      </div>
    </>
  );
}

interface FieldProps {
  name: string;
  property: Property;
  value: unknown;
  onChange: (value: unknown) => void;
}

function Field({ name, property, value, onChange }: FieldProps) {
  if (property.type === "object" || property.type === "array" || (!property.type && !property.enum)) return null;
  if (property.type === "boolean")
    return (
      <label>
        <input aria-label={name} type="checkbox" checked={Boolean(value)} onChange={(event) => onChange(event.currentTarget.checked)} />
        {name}
        <small>{property.description}</small>
      </label>
    );
  if (property.enum)
    return (
      <label>
        {name}
        <select aria-label={name} value={String(value)} onChange={(event) => onChange(event.currentTarget.value)}>
          {property.enum.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
        <small>{property.description}</small>
      </label>
    );
  const isNumber = property.type === "integer" || property.type === "number";
  const read = (text: string) => (text === "" ? undefined : isNumber ? Number(text) : text);
  return (
    <label>
      {name}
      <input
        aria-label={name}
        type={isNumber ? "number" : "text"}
        step={property.type === "integer" ? 1 : "any"}
        min={property.minimum}
        max={property.maximum}
        defaultValue={String(value ?? "")}
        onInput={(event) => onChange(read(event.currentTarget.value))}
      />
      <small>{property.description}</small>
    </label>
  );
}
