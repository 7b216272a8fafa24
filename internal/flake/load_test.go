package flake_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

// native is a flake with the output that the core makes, written by hand: what
// this room does with it, without the core's evaluation.
const native = `{
  outputs = _: {
    fleet = {
      schema = 1;
      inventory = {
        meta.name = "test";
        machines = builtins.listToAttrs (map (name: { inherit name; value = { inherit name; class = "nixos"; tags = [ "all" ]; deploy = { }; }; }) [ "a" "b" "c" "d" "e" "f" "g" "h" ]);
        instances = { };
        warnings = [ "tag x has no machine" ];
      };
      machines = builtins.mapAttrs (name: broken: {
        describe = { adminSystem, toplevel }:
          if broken then throw "services.web.port is used but not defined" else {
            inherit name; system = adminSystem; secretUploadDirectory = "/key";
            generators.g = { name = "g"; share = false; dependencies = [ ]; prompts = { }; files = { }; };
          };
      }) { a = false; b = false; c = false; d = true; e = false; f = false; g = false; h = false; };
    };
  };
}`

// counting counts the evaluations that reach Nix.
type counting struct {
	*nix.CLI
	evals atomic.Int32
}

func (c *counting) Eval(ctx context.Context, req nix.EvalRequest, v any) error {
	c.evals.Add(1)
	return c.CLI.Eval(ctx, req, v)
}

func loader(t *testing.T) (*flake.Loader, *counting) {
	cli := nix.New(nix.Options{Env: nixtest.Env(t)})
	x := &counting{CLI: cli}
	return &flake.Loader{
		Nix: x, EvalKey: cli.EvalKey, System: nix.System(), Workers: 2,
		Cache: &nix.Cache{Dir: t.TempDir()},
	}, x
}

func load(t *testing.T, l *flake.Loader, dir string) *flake.Fleet {
	t.Helper()
	fleet, err := l.Load(t.Context(), dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	return fleet
}

func TestOneMachineFailsAlone(t *testing.T) {
	l, _ := loader(t)
	dir := nixtest.Flake(t, map[string]string{"flake.nix": native})
	fleet := load(t, l, dir)
	if fleet.Flavour != flake.Native || fleet.Meta.Name != "test" || len(fleet.Machines) != 8 {
		t.Fatalf("got %+v", fleet)
	}
	got, err := l.Details(t.Context(), fleet, []string{"a", "b", "c", "d", "e", "f", "g", "h"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "e", "f", "g", "h"}, got.Names()); diff != "" {
		t.Error(diff)
	}
	errs := got.Errors()
	if len(errs) != 1 || errs[0].Machine != "d" {
		t.Fatalf("got %v", errs)
	}
	for _, piece := range []string{"it does not evaluate", "services.web.port is used but not defined", "flake.nix:13"} {
		if !strings.Contains(errs[0].Error(), piece) {
			t.Errorf("the message lacks %q: %v", piece, errs[0])
		}
	}
	if d := got.Details["a"]; d.System != nix.System() || d.Generators["g"] == nil {
		t.Errorf("got %+v", d)
	}
}

// seeing is a fleet whose name tells what evaluation sees of its folder.
const seeing = `{
  inputs.part.url = "git+file://PART";
  outputs = { self, part }: {
    fleet = {
      schema = 1;
      inventory = {
        meta.name = builtins.concatStringsSep " " [
          (import ./module.nix)
          (builtins.readFile ./sops/facts/value)
          (if builtins.pathExists ./sops/secrets/key then "present" else "absent")
          (builtins.hashFile "md5" ./sops/secrets/old)
          (toString (builtins.attrNames (builtins.readDir ./hosts)))
          (builtins.readFile (part + "/file"))
          (self.rev or self.dirtyRev or "no commit")
        ];
        machines.web = { name = "web"; class = "nixos"; tags = [ "all" ]; deploy = { }; };
        instances = { };
      };
      machines.web.describe = { adminSystem, toplevel }: {
        name = "web"; system = adminSystem; generators = { };
        secretUploadDirectory = self.fleet.inventory.meta.name;
      };
    };
  };
}`

// What is kept is what evaluation says, after every kind of edit; and after none
// nothing is evaluated.
func TestCacheSeesEveryEdit(t *testing.T) {
	l, x := loader(t)
	part := nixtest.Flake(t, map[string]string{"file": "one", "flake.nix": "{ outputs = _: { }; }"})
	nixtest.Git(t, part, "commit", "-qm", "part")
	dir := nixtest.Flake(t, map[string]string{
		"flake.nix": strings.Replace(seeing, "PART", part, 1), "module.nix": `"module"`, "hosts/web.nix": "",
		"sops/facts/value": "value", "sops/secrets/old": "secret",
	})
	write := func(files map[string]string) func() {
		return func() { nixtest.Write(t, dir, files) }
	}
	git := func(args ...string) func() { return func() { nixtest.Git(t, dir, args...) } }
	lock := func() {
		t.Helper()
		if _, err := x.Metadata(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	lock()
	seen := map[string]string{}
	for _, edit := range []struct {
		name string
		make func()
	}{
		{"nothing yet", func() {}},
		{"a module", write(map[string]string{"module.nix": `"other"`})},
		{"a public value", write(map[string]string{"sops/facts/value": "changed"})},
		{"a secret's content", write(map[string]string{"sops/secrets/old": "another"})},
		{"a new secret", func() {
			nixtest.Write(t, dir, map[string]string{"sops/secrets/key": "x"})
			nixtest.Git(t, dir, "add", "sops/secrets/key")
		}},
		{"a new file, added with intent", func() {
			nixtest.Write(t, dir, map[string]string{"hosts/db.nix": ""})
			nixtest.Git(t, dir, "add", "-N", "hosts/db.nix")
		}},
		{"a commit", git("commit", "-qam", "one")},
		{"a removed file", func() { nixtest.Git(t, dir, "rm", "-q", "hosts/db.nix") }},
		{"another commit", git("commit", "-qam", "two")},
		{"an input", func() {
			nixtest.Write(t, part, map[string]string{"file": "two"})
			nixtest.Git(t, part, "commit", "-qam", "part")
			nixtest.Git(t, dir, "rm", "-q", "--cached", "flake.lock")
			if err := os.Remove(filepath.Join(dir, "flake.lock")); err != nil {
				t.Fatal(err)
			}
			lock()
		}},
	} {
		edit.make()
		for _, again := range []bool{false, true} {
			before := x.evals.Load()
			fleet := load(t, l, dir)
			got, err := l.Details(t.Context(), fleet, []string{"web"}, false)
			if err != nil {
				t.Fatal(err)
			}
			name := fleet.Meta.Name
			if got.Details["web"].SecretUploadDirectory != name {
				t.Errorf("%s: the inventory says %s, the machine %+v", edit.name, name, got.Details["web"])
			}
			if n := x.evals.Load() - before; again != (n == 0) {
				t.Errorf("%s: %d evaluations; asked again: %v", edit.name, n, again)
			}
			if earlier := seen[name]; !again && earlier != "" {
				t.Errorf("%s is not seen: as after %s: %s", edit.name, earlier, name)
			}
			seen[name] = edit.name
		}
	}

	// Another platform is not given the answer of this one, and without a cache
	// there is none.
	fleet := load(t, l, dir)
	before := x.evals.Load()
	l.System = "riscv64-linux"
	got, err := l.Details(t.Context(), fleet, []string{"web"}, false)
	if err != nil || got.Details["web"].System != "riscv64-linux" || x.evals.Load() == before {
		t.Errorf("another platform: %+v, %v", got.Details["web"], err)
	}
	before = x.evals.Load()
	l.Cache = nil
	load(t, l, dir)
	if x.evals.Load() == before {
		t.Error("without a cache nothing is evaluated")
	}
}

// editing changes the flake while it is evaluated.
type editing struct {
	*counting
	edit func()
}

func (e *editing) Eval(ctx context.Context, req nix.EvalRequest, v any) error {
	e.edit()
	return e.counting.Eval(ctx, req, v)
}

// What is evaluated while the flake changes is kept for neither state.
func TestCacheWhileTheFlakeChanges(t *testing.T) {
	named := func(name string) map[string]string {
		return map[string]string{"flake.nix": strings.Replace(native, "meta.name = \"test\"", "meta.name = \""+name+"\"", 1)}
	}
	dir := nixtest.Flake(t, named("before"))
	nixtest.Write(t, dir, map[string]string{"flake.lock": noInputs})
	nixtest.Git(t, dir, "add", "flake.lock")
	l, x := loader(t)
	l.Nix = &editing{x, func() { nixtest.Write(t, dir, named("after")) }}
	if got := load(t, l, dir).Meta.Name; got != "after" {
		t.Fatalf("it says %s", got)
	}
	l.Nix = x
	nixtest.Write(t, dir, named("before"))
	if got := load(t, l, dir).Meta.Name; got != "before" {
		t.Errorf("it says %s of what is as before again", got)
	}
}

func TestFlavours(t *testing.T) {
	for _, tt := range []struct {
		name, outputs string
		check         func(*flake.Fleet) bool
		err           string
	}{
		{
			name: "plain", outputs: `{ nixosConfigurations.web = { }; darwinConfigurations.mac = { }; }`,
			check: func(f *flake.Fleet) bool {
				return f.Flavour == flake.Plain && f.Machines["web"].Class == flake.NixOS && f.Machines["mac"].Class == flake.Darwin && f.Machines["web"].Deploy.TargetHost == "root@web"
			},
		},
		{name: "none", outputs: `{ packages = { }; }`, err: "`fleet init` shows what one looks like"},
		{name: "other schema", outputs: `{ fleet = { schema = 2; inventory = { }; }; }`, err: "another version of fleet (schema 2"},
		{name: "broken", outputs: `{ fleet = throw "no inventory today"; }`, err: "no inventory today"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := loader(t)
			dir := nixtest.Flake(t, map[string]string{"flake.nix": "{ outputs = _: " + tt.outputs + "; }"})
			fleet, err := l.Load(t.Context(), dir, dir)
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want an error with %q", err, tt.err)
				}
			case err != nil:
				t.Error(err)
			case !tt.check(fleet):
				t.Errorf("got %+v", fleet)
			}
		})
	}
}

const noInputs = `{ "nodes": { "root": { } }, "root": "root", "version": 7 }`

// All machines in one go give the same as one after the other, for any number
// of workers, and one that fails still fails alone.
func TestLoadAll(t *testing.T) {
	healthy := strings.Replace(native, "d = true", "d = false", 1)
	for _, workers := range []int{1, 2, 3, 8, 20} {
		l, x := loader(t)
		l.Workers, l.Cache = workers, nil
		dir := nixtest.Flake(t, map[string]string{"flake.nix": healthy, "flake.lock": noInputs})
		fleet, err := l.LoadFor(t.Context(), dir, dir, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
		got, err := l.Details(t.Context(), fleet, names, false)
		if err != nil {
			t.Fatal(err)
		}
		if n := x.evals.Load(); int(n) != workers {
			t.Errorf("%d workers: %d evaluations", workers, n)
		}
		want, err := l.Details(t.Context(), load(t, l, dir), names, false)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d workers: %s", workers, diff)
		}
	}
	l, _ := loader(t)
	dir := nixtest.Flake(t, map[string]string{"flake.nix": native, "flake.lock": noInputs})
	fleet, err := l.LoadFor(t.Context(), dir, dir, nil, false)
	if err != nil || len(fleet.Machines) != 8 {
		t.Fatalf("a machine that does not evaluate hides the inventory: %v", err)
	}
}

func TestPlainDetails(t *testing.T) {
	l, _ := loader(t)
	machine := `{ pkgs.stdenv.hostPlatform.system = "x86_64-linux"; config.system.build.toplevel = derivation { name = "system"; system = "x86_64-linux"; builder = "/bin/sh"; }; }`
	dir := nixtest.Flake(t, map[string]string{"flake.nix": `{ outputs = _: { nixosConfigurations.web = ` + machine + `; darwinConfigurations.mac = ` + machine + `; }; }`})
	for _, toplevel := range []bool{false, true} {
		got, err := l.Details(t.Context(), load(t, l, dir), []string{"mac", "web"}, toplevel)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"mac", "web"} {
			d := got.Details[name]
			if d == nil || d.System != "x86_64-linux" || toplevel != (d.Toplevel != nil) {
				t.Fatalf("%s: got %+v, %v", name, d, got.Failed)
			}
			if toplevel && (!strings.HasSuffix(d.Toplevel.DrvPath, "-system.drv") || !strings.HasSuffix(d.Toplevel.OutPath, "-system")) {
				t.Errorf("%s: got %+v", name, d.Toplevel)
			}
		}
	}
}

func TestUnknownMachine(t *testing.T) {
	l, _ := loader(t)
	dir := nixtest.Flake(t, map[string]string{"flake.nix": native})
	_, err := l.Details(t.Context(), load(t, l, dir), []string{"a", "zz"}, false)
	if err == nil || !strings.Contains(err.Error(), "there is no machine zz") {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "modules/hosts")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := flake.Find(below, ""); !errors.Is(err, flake.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "flake.nix"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ from, ref, wantRef, wantDir string }{
		{below, "", dir, dir},
		{below, "../..", dir, dir},
		{"/", dir, dir, dir},
		{"/", "github:me/fleet", "github:me/fleet", ""},
	} {
		ref, folder, err := flake.Find(tt.from, tt.ref)
		if err != nil || ref != tt.wantRef || folder != tt.wantDir {
			t.Errorf("Find(%q, %q) = %q, %q, %v", tt.from, tt.ref, ref, folder, err)
		}
	}
	if _, _, err := flake.Find("/", filepath.Join(dir, "modules")+"/../../"+filepath.Base(dir)); err != nil {
		t.Error(err)
	}
	odd := filepath.Join(dir, "a#b")
	if err := errors.Join(os.Mkdir(odd, 0o755), os.WriteFile(filepath.Join(odd, "flake.nix"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := flake.Find(odd, ""); err == nil || !strings.Contains(err.Error(), "move the fleet") {
		t.Errorf("got %v", err)
	}
	if _, _, err := flake.Find(dir, "modules"); !errors.Is(err, flake.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestDidYouMean(t *testing.T) {
	for _, tt := range []struct {
		name  string
		known []string
		want  string
	}{
		{"cinabar", []string{"cinnabar", "galena"}, ", did you mean cinnabar?"},
		{"webserevr", []string{"webserver"}, ", did you mean webserver?"},
		{"id_ed25519_pub", []string{"id_ed25519", "id_ed25519.pub"}, ", did you mean id_ed25519.pub or id_ed25519?"},
		{"x", []string{"alpha", "beta"}, " (there are alpha, beta)"},
		{"x", nil, ""},
	} {
		if got := flake.DidYouMean(tt.name, tt.known); got != tt.want {
			t.Errorf("DidYouMean(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}
