/** The entry of the UI: the frame, the sign-in and the screen of the address. */

import "@picocss/pico/css/pico.min.css";
import "./style.css";
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { NEEDS_SIGN_IN, type Session } from "./api/client";
import { useLoad } from "./api/hooks";
import { Problem } from "./components/common";
import { type Address, useAddress } from "./router";
import { Compare } from "./screens/Compare";
import { DatasetScreen } from "./screens/Dataset";
import { Datasets } from "./screens/Datasets";
import { Embedding } from "./screens/Embedding";
import { Home } from "./screens/Home";
import { JobScreen } from "./screens/Job";
import { Jobs } from "./screens/Jobs";
import { Labelling } from "./screens/Labelling";
import { ModelScreen } from "./screens/Model";
import { Models } from "./screens/Models";
import { NewJob } from "./screens/NewJob";
import { Playground } from "./screens/Playground";
import { Report } from "./screens/Report";
import { Settings } from "./screens/Settings";
import { SignIn } from "./screens/SignIn";

const MENU: [string, string][] = [
  ["", "Home"],
  ["datasets", "Datasets"],
  ["jobs", "Jobs"],
  ["models", "Models"],
  ["playground", "Playground"],
  ["settings", "Settings"],
];

function screen({ path, query }: Address) {
  const [area, id, part, number, last] = path;
  if (area === undefined) return <Home />;
  if (area === "datasets") return id ? <DatasetScreen key={id} id={id} /> : <Datasets />;
  if (area === "jobs") return !id ? <Jobs /> : id === "new" ? <NewJob query={query} /> : <JobScreen key={id} id={id} />;
  if (area === "models" && !id) return <Models />;
  if (area === "models" && part === "versions" && number) {
    if (last === "embedding") return <Embedding key={`${id}:${number}`} name={id!} number={number} />;
    return <Report key={`${id}:${number}`} name={id!} number={number} />;
  }
  if (area === "models" && part === "compare") return <Compare name={id!} numbers={query.getAll("version")} />;
  if (area === "models") return <ModelScreen key={id} name={id!} />;
  if (area === "labels" && id) return <Labelling key={id} id={id} />;
  if (area === "playground") return <Playground reference={query.get("model") ?? ""} />;
  if (area === "settings") return <Settings />;
  return <p>There is no such page. <a href="#/">Go to the start page</a>.</p>;
}

function App() {
  const address = useAddress();
  const session = useLoad<Session>("/session");
  const [expired, setExpired] = useState(false);
  useEffect(() => {
    const expire = () => setExpired(true);
    window.addEventListener(NEEDS_SIGN_IN, expire);
    return () => window.removeEventListener(NEEDS_SIGN_IN, expire);
  }, []);
  const needsKey = expired || (session.data?.keys_needed && !session.data.key);
  const signedIn = () => {
    setExpired(false);
    session.reload();
  };
  return (
    <>
      <header class="container">
        <nav aria-label="Main">
          <ul>
            <li>
              <a href="#/" class="brand">
                <img src="./icon.svg" alt="" width="24" height="24" /> Isthmus
              </a>
            </li>
          </ul>
          <ul>
            {MENU.map(([area, title]) => (
              <li key={area}>
                <a href={`#/${area}`} aria-current={(address.path[0] ?? "") === area ? "page" : undefined}>
                  {title}
                </a>
              </li>
            ))}
          </ul>
        </nav>
      </header>
      <main class="container" id="main">
        <Problem error={session.error} />
        {needsKey ? <SignIn onDone={signedIn} /> : session.data && screen(address)}
      </main>
    </>
  );
}

render(<App />, document.getElementById("app")!);
