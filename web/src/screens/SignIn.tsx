/** Sign-in with an API key, which the server keeps in a cookie that scripts cannot read. */

import { useState } from "preact/hooks";
import { write } from "../api/client";
import { useAction } from "../api/hooks";
import { Problem } from "../components/common";

export function SignIn({ onDone }: { onDone: () => void }) {
  const [key, setKey] = useState("");
  const action = useAction();
  const submit = (event: Event) => {
    event.preventDefault();
    action.run(async () => {
      await write("POST", "/session", { key });
      onDone();
    });
  };
  return (
    <form onSubmit={submit}>
      <h1>Sign in</h1>
      <p>This service needs an API key. Its operator creates one with `isthmus keys create`.</p>
      <label>
        API key
        <input type="password" autocomplete="off" required value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <Problem error={action.error} />
      <button aria-busy={action.busy} disabled={action.busy}>
        Sign in
      </button>
    </form>
  );
}
