package core_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const scripted = `
{
  clan.machines.a = { pkgs, ... }: {
    nixpkgs.hostPlatform = "x86_64-linux";
    clan.core.vars.generators.text = {
      files.copy = { };
      prompts.answer = { persist = true; type = "hidden"; };
      runtimeInputs = [ pkgs.hello ];
      dependencies = [ "other" ];
      script = ''
        hello > $out/hello
        cat $in/other/file $prompts/answer > $out/copy
      '';
    };
    clan.core.vars.generators.stops.script = ''
      false | true
      echo "not reached" > $out/file
    '';
    clan.core.vars.generators.file.script = ./script.sh;
  };
}
`

// The final script is built and run as it is: a program of its own that knows
// where its tools are and stops at the first error.
func TestFinalScript(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "modules/a.nix"), []byte(scripted))
	write(t, filepath.Join(dir, "modules/script.sh"), []byte("echo from a file > $out/file\n"))
	got, err := evaluate(t, worlds(t)[0], dir,
		`f: builtins.mapAttrs (_: g: g.script) (f.fleet.machines.a.describe { adminSystem = "x86_64-linux"; }).generators`)
	if err != nil {
		t.Fatal(err)
	}
	var scripts map[string]struct{ DrvPath, Out string }
	if err := json.Unmarshal(got, &scripts); err != nil {
		t.Fatal(err)
	}

	run := func(generator string) (string, error) {
		t.Helper()
		script := scripts[generator]
		if _, err := nix(t, "build", "--no-link", script.DrvPath+"^out"); err != nil {
			t.Fatal(err)
		}
		box := t.TempDir()
		for _, folder := range []string{"out", "in/other", "prompts"} {
			if err := os.MkdirAll(filepath.Join(box, folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(box, "in/other/file"), []byte("other "))
		write(t, filepath.Join(box, "prompts/answer"), []byte("answer"))
		cmd := exec.CommandContext(t.Context(), script.Out)
		cmd.Env = []string{"out=" + box + "/out", "in=" + box + "/in", "prompts=" + box + "/prompts"}
		out, err := cmd.CombinedOutput()
		if err != nil && len(out) > 0 {
			t.Logf("%s", out)
		}
		return filepath.Join(box, "out"), err
	}
	read := func(folder, name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}

	out, err := run("text")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(out, "answer"); got != "answer" {
		t.Errorf("the persisted prompt is %q", got)
	}
	if got := read(out, "copy"); got != "other answer" {
		t.Errorf("the copy is %q", got)
	}
	if got := read(out, "hello"); !strings.HasPrefix(got, "Hello") {
		t.Errorf("a program of runtimeInputs says %q", got)
	}

	if out, err = run("file"); err != nil || read(out, "file") != "from a file\n" {
		t.Errorf("a script in a file: %v", err)
	}
	if out, err = run("stops"); err == nil {
		t.Errorf("a script whose pipe fails succeeds")
	}
	if entries, _ := os.ReadDir(out); len(entries) != 0 {
		t.Errorf("after the failure it wrote %v", entries)
	}
}

// The system depends on the secrets by their content: what else changes in the
// fleet's folder, or where that folder is, rebuilds nothing.
func TestUnrelatedFilesRebuildNothing(t *testing.T) {
	system := func(files map[string]string) string {
		t.Helper()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "modules/a.nix"), []byte(`{
			clan.machines.a = {
				nixpkgs.hostPlatform = "x86_64-linux";
				clan.core.vars.generators.key.files.private = { };
			};
		}`))
		for name, content := range files {
			write(t, filepath.Join(dir, name), []byte(content))
		}
		got, err := evaluate(t, worlds(t)[0], dir,
			`f: (f.fleet.machines.a.describe { adminSystem = "x86_64-linux"; toplevel = true; }).toplevel.drvPath`)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	const private = "sops/machines/a/secrets/key/private"
	before := system(map[string]string{private: "one"})
	if after := system(map[string]string{private: "one", "README.md": "new", "sops/machines/b/secrets/key/private": "b"}); after != before {
		t.Errorf("an unrelated file makes another system: %s, %s", before, after)
	}
	if after := system(map[string]string{private: "two"}); after == before {
		t.Error("another secret makes the same system")
	}
	if after := system(nil); after == before {
		t.Error("no secret makes the same system")
	}
}
