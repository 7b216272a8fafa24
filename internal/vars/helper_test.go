package vars

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
	"github.com/crs58/fleet/internal/secrets"
)

// world is a fleet in a git repository with one administrator.
type world struct {
	t      testing.TB
	root   string
	fleet  *Fleet
	events []Event
	opts   RunOptions
	// private is the administrator's key.
	private []byte
}

// newWorld makes a repository for the generators of some machines; the scripts
// are given as text in place of a derivation (see gen).
func newWorld(t testing.TB, machines map[string][]*flake.Generator) *world {
	t.Helper()
	return newWorldIn(t, machines, func(dir, _ string) (secrets.Layout, error) { return secrets.OpenNative(dir) })
}

// newWorldIn is newWorld in the layout that open opens for the administrator
// who has the public key.
func newWorldIn(t testing.TB, machines map[string][]*flake.Generator, open func(dir, public string) (secrets.Layout, error)) *world {
	t.Helper()
	w := &world{t: t, root: t.TempDir()}
	w.git("init", "--quiet", "--initial-branch=main")
	w.git("config", "user.name", "Test")
	w.git("config", "user.email", "test@example.org")
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	layout, err := open(w.root, public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = layout.Close() })
	w.fleet = &Fleet{Root: w.root, Layout: layout, Inventory: &flake.Inventory{Machines: map[string]flake.Machine{}}, Env: os.Environ()}
	w.fleet.Identities, w.private = identities(t, private), private
	if _, isAge := layout.(*secrets.Age); !isAge { // there the flake names them
		w.admin("alice", public)
	}
	w.opts = RunOptions{
		Builder: testNix(t), Now: time.Now,
		OnEvent: func(e Event) { w.events = append(w.events, e) },
	}
	w.set(machines)
	return w
}

// set replaces what the machines declare.
func (w *world) set(machines map[string][]*flake.Generator) {
	w.t.Helper()
	w.fleet.Machines = details(machines)
	var pending []*flake.Derivation
	for machine, d := range w.fleet.Machines {
		w.fleet.Inventory.Machines[machine] = flake.Machine{Name: machine}
		for _, g := range d.Generators {
			if g.Script != nil && g.Script.DrvPath == "" {
				pending = append(pending, g.Script)
			}
		}
	}
	instantiate(w.t, pending)
}

func identities(t testing.TB, private []byte) *secrets.Identities {
	t.Helper()
	ids, err := secrets.ParseIdentities("test", private)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func (w *world) admin(name, public string) {
	w.t.Helper()
	files, err := secrets.AddUserKey(w.fleet.Layout, name, public)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		w.write(f.Path, string(f.Data))
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	out, err := exec.Command("git", append([]string{"-C", w.root}, args...)...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (w *world) plan(req Request) *Plan {
	w.t.Helper()
	p, err := w.fleet.Plan(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// generate plans and runs, and wants no error.
func (w *world) generate(req Request) *Report {
	w.t.Helper()
	report, err := w.run(req)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func (w *world) run(req Request) (*Report, error) {
	w.t.Helper()
	return w.fleet.Run(w.t.Context(), w.plan(req), w.opts)
}

func (w *world) get(machine, name string) string {
	w.t.Helper()
	v, err := w.fleet.Get(w.t.Context(), machine, name)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(v.Data)
}

// snapshot is every file of the work tree with its content.
func (w *world) snapshot() map[string]string {
	w.t.Helper()
	return snapshot(w.t, w.root)
}

func snapshot(t testing.TB, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if rel == ".git" {
			return filepath.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		if d.Type()&os.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			files[rel] = "link to " + target
			return err
		}
		data, err := os.ReadFile(path)
		files[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// details turns generators into what the flake tells.
func details(machines map[string][]*flake.Generator) map[string]*flake.Details {
	all := map[string]*flake.Details{}
	for machine, generators := range machines {
		d := &flake.Details{Name: machine, System: "x86_64-linux", Generators: map[string]*flake.Generator{}}
		for _, g := range generators {
			d.Generators[g.Name] = g
		}
		all[machine] = d
	}
	return all
}

// gen makes a generator. A file is "name" for a secret, "name:public", or
// "name:local" for a secret that is not deployed.
func gen(name, script string, files ...string) *flake.Generator {
	g := &flake.Generator{Name: name, Files: map[string]*flake.File{}, Prompts: map[string]*flake.Prompt{}, Script: &flake.Derivation{OutPath: script}}
	for _, f := range files {
		file, kind, _ := strings.Cut(f, ":")
		g.Files[file] = &flake.File{Name: file, Secret: kind != "public", Deploy: kind != "local", Mode: "0400", Path: "/run/secrets/" + name + "." + file}
	}
	return g
}

func shared(g *flake.Generator) *flake.Generator {
	g.Share = true
	return g
}

func needs(g *flake.Generator, names ...string) *flake.Generator {
	g.Dependencies = names
	return g
}

func valid(g *flake.Generator, hash string) *flake.Generator {
	g.ValidationHash = hash
	return g
}

// asks adds a required prompt; a persisted one is also a file.
func asks(g *flake.Generator, prompt string, persist bool) *flake.Generator {
	g.Prompts[prompt] = &flake.Prompt{Name: prompt, Description: "The " + prompt, Type: "hidden", Persist: persist, Display: flake.Display{Required: true}}
	if persist {
		g.Files[prompt] = &flake.File{Name: prompt, Secret: true, Deploy: true}
		g.Script.OutPath = fmt.Sprintf("cat $prompts/%[1]s > $out/%[1]s\n", prompt) + g.Script.OutPath
	}
	return g
}

// one is a fleet of one machine.
func one(generators ...*flake.Generator) map[string][]*flake.Generator {
	return map[string][]*flake.Generator{"web": generators}
}

func testNix(t testing.TB) *nix.CLI {
	t.Helper()
	return nix.New(nix.Options{Env: nixtest.Env(t)})
}

// instantiate turns the text in each OutPath into a script in the Nix store.
func instantiate(t testing.TB, pending []*flake.Derivation) {
	t.Helper()
	var texts []string
	for _, d := range pending {
		texts = append(texts, d.OutPath)
	}
	for i, script := range nixtest.Scripts(t, texts...) {
		*pending[i] = flake.Derivation{DrvPath: script.DrvPath, OutPath: script.OutPath}
	}
}

type genT = flake.Generator

// unbuildable is a script whose build fails.
func unbuildable(t testing.TB) *flake.Derivation {
	t.Helper()
	var d [2]string
	expr := `let d = derivation { name = "unbuildable"; system = builtins.currentSystem; builder = "/bin/busybox"; args = [ "false" ]; }; in [ d.drvPath d.outPath ]`
	if err := testNix(t).Eval(context.Background(), nix.EvalRequest{Expr: expr, Args: []string{"--impure"}}, &d); err != nil {
		t.Fatal(err)
	}
	return &flake.Derivation{DrvPath: d[0], OutPath: d[1]}
}
