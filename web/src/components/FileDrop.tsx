/** A field for files: drag and drop, or the dialog of the browser. */

import { useState } from "preact/hooks";

export interface FileDropProps {
  onFiles: (files: File[]) => void;
  label?: string;
  multiple?: boolean;
}

export function FileDrop({ onFiles, label = "Drop files here, or choose them", multiple = true }: FileDropProps) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) onFiles(multiple ? files : files.slice(0, 1));
  };
  const choose = (input: HTMLInputElement) => {
    if (input.files?.length) onFiles([...input.files]);
    input.value = "";
  };
  return (
    <label
      class={over ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      {label}
      <input type="file" multiple={multiple} onChange={(event) => choose(event.currentTarget)} />
    </label>
  );
}
