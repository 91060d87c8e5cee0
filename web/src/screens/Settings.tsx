/** Workers, storage, keys, webhooks, and the sign-out. */

import { useState } from "preact/hooks";
import { type Page, type Schemas, type Session, write } from "../api/client";
import { useAction, useLoad } from "../api/hooks";
import { Facts, Loading, Problem, Table } from "../components/common";
import { bytes, percent, when } from "../format";

export function Settings() {
  const session = useLoad<Session>("/session");
  const may = (scope: string) => session.data?.scopes.some((one) => one === scope || one === "admin") ?? false;
  return (
    <>
      <h1>Settings</h1>
      {session.data?.keys_needed && session.data.key && <SignOut name={session.data.key} />}
      <Workers />
      {may("storage:read") && <Storage />}
      {may("admin") && <Keys />}
      {may("webhooks:read") && <Webhooks />}
    </>
  );
}

function SignOut({ name }: { name: string }) {
  const leave = () => write("DELETE", "/session").then(() => location.reload());
  return (
    <p class="actions">
      Signed in with the key {name}.{" "}
      <button class="secondary outline" onClick={leave}>
        Sign out
      </button>
    </p>
  );
}

function Workers() {
  const workers = useLoad<Schemas["WorkerList"]>("/workers", 5);
  return (
    <section aria-label="Workers">
      <h2>Workers</h2>
      <Problem error={workers.error} />
      {workers.data ? (
        <Table caption="Workers" head={["Worker", "State", "Hardware", "Last heartbeat"]}>
          {workers.data.data.map((one) => (
            <tr key={one.id}>
              <th scope="row">{one.id}</th>
              <td>{one.state}</td>
              <td>{hardware(one.device)}</td>
              <td>{when(one.seen_at)}</td>
            </tr>
          ))}
        </Table>
      ) : (
        <Loading what="workers" />
      )}
    </section>
  );
}

const hardware = (device: Schemas["DeviceOut"]): string =>
  device.gpus.map((gpu) => `${gpu.name}, ${percent(gpu.utilisation)} busy`).join("; ") || `${device.cores} cores`;

function Storage() {
  const storage = useLoad<Schemas["StorageOut"]>("/storage");
  if (!storage.data) return <Problem error={storage.error} />;
  return (
    <section aria-label="Storage">
      <h2>Storage</h2>
      <Facts facts={storage.data.totals.map((one) => [one.name, `${one.count}, ${bytes(one.size_bytes)}`])} />
    </section>
  );
}

function Keys() {
  const keys = useLoad<Page<Schemas["KeyOut"]>>("/keys");
  const [name, setName] = useState("");
  const [created, setCreated] = useState("");
  const action = useAction();
  const create = (event: Event) => {
    event.preventDefault();
    action.run(async () => {
      const body = { name, scopes: ["predict", "models:read"] };
      setCreated((await write<Schemas["KeyCreated"]>("POST", "/keys", body)).key);
      keys.reload();
    });
  };
  const revoke = (id: string) => confirm("Revoke this key? Its users are refused within a second.") && action.run(async () => write("DELETE", `/keys/${id}`).then(keys.reload));
  return (
    <section aria-label="Keys">
      <h2>Keys</h2>
      <Problem error={keys.error ?? action.error} />
      <Table caption="API keys" head={["Name", "Scopes", "Last use", ""]}>
        {keys.data?.data.map((one) => (
          <tr key={one.id}>
            <th scope="row">{one.name}</th>
            <td>{one.scopes.join(", ")}</td>
            <td>{one.last_used_at ? when(one.last_used_at) : "never"}</td>
            <td>
              {one.revoked_at ? (
                "revoked"
              ) : (
                <button class="secondary outline" onClick={() => revoke(one.id)}>
                  Revoke {one.name}
                </button>
              )}
            </td>
          </tr>
        ))}
      </Table>
      <form onSubmit={create}>
        <label>
          Name of a new key for predictions
          <input required value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <button>Create</button>
      </form>
      {created && (
        <p role="status">
          The key, which is shown only now: <code>{created}</code>
        </p>
      )}
    </section>
  );
}

function Webhooks() {
  const hooks = useLoad<Page<Schemas["WebhookOut"]>>("/webhooks");
  return (
    <section aria-label="Webhooks">
      <h2>Webhooks</h2>
      <Problem error={hooks.error} />
      {hooks.data?.data.length === 0 && <p>There is no webhook. `POST /webhooks` adds one.</p>}
      {hooks.data && hooks.data.data.length > 0 && (
        <Table caption="Webhooks" head={["Address", "Events", "State"]}>
          {hooks.data.data.map((one) => (
            <tr key={one.id}>
              <th scope="row">{one.url}</th>
              <td>{one.events.join(", ")}</td>
              <td>{one.state}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}
