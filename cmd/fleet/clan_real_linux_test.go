package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/nix/nixtest"
	"github.com/crs58/fleet/internal/secrets"
)

// realClan is a fleet of the real clan-core, and the two programs on it.
type realClan struct {
	t    *testing.T
	dir  string
	home string
	env  []string
	clan string // the program; "" where it is not at hand
	// input is what the next programs read.
	input string
}

// newRealClan makes a fleet of a module of testdata with one administrator; nil
// without FLEET_REAL.
func newRealClan(t *testing.T, module string) *realClan {
	t.Helper()
	real := os.Getenv("FLEET_REAL")
	if real == "" {
		t.Log("FLEET_REAL is not set: only fixtures were asked, by testdata/script/clan.txtar and secrets.txtar")
		return nil
	}
	r := &realClan{t: t, dir: nixtest.Clan(t, real, map[string]string{"fleet.nix": module}), home: t.TempDir(), clan: os.Getenv("FLEET_CLAN")}
	r.env = append(nixtest.Env(t), "HOME="+r.home, "XDG_CACHE_HOME="+r.home+"/cache", "XDG_RUNTIME_DIR="+r.home, "USER=admin", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
	r.run("nix", "--extra-experimental-features", "nix-command flakes", "flake", "lock", r.dir)
	r.fleet(0, "vars", "keys", "init")
	r.commit()
	return r
}

// TestRealClan uses fleet, and where it is at hand clan's own program, on one
// fleet of the real clan-core: what one has made the other takes as it is.
// FLEET_REAL names the folder with the checkouts (see nixtest.Clan), FLEET_CLAN
// the program.
func TestRealClan(t *testing.T) {
	module := realModule(t)
	r := newRealClan(t, module)
	if r == nil {
		return
	}

	// One machine is broken and the generator of another fails: the others are served.
	out := r.fleet(1, "vars", "generate", "--all")
	for _, text := range []string{"nobody knows how", "it cannot"} {
		if !strings.Contains(out, text) {
			t.Errorf("nothing is said of %q:\n%s", text, out)
		}
	}
	// Clan's own program would serve nobody any more.
	r.module(healthy(module))
	// What is left of a machine is told with the command that removes it.
	command, _, _ := strings.Cut(strings.SplitN(r.fleet(1, "vars", "check"), "run `", 2)[1], "`")
	r.run("git", append([]string{"-C", r.dir}, strings.Fields(command)[1:]...)...)
	r.commit()
	r.right("fleet made it")
	ours := r.values()

	// A value made anew by one is no difference for the other but the value.
	r.changes(func() { r.fleet(0, "vars", "generate", "web", "--regenerate", "token") }, "vars/per-machine/web/token/secret/secret")
	r.right("fleet made a value anew")
	if r.clan != "" {
		r.changes(func() { r.program(0, "vars", "generate", "-r", "-g", "token", "web") }, "vars/per-machine/web/token/secret/secret")
		r.right("clan made a value anew")
	}

	// Readers that are missing are seen and added.
	link := filepath.Join(r.dir, "vars/per-machine/web/token/secret/machines/web")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if out := r.fleet(1, "vars", "check", "web"); !strings.Contains(out, "machines/web") {
		t.Errorf("the missing link is not said:\n%s", out)
	}
	r.fleet(0, "vars", "fix", "web")
	if _, err := os.Stat(link); err != nil {
		t.Error(err)
	}
	r.commit()

	// The reverse: all that clan makes is right, and nothing of it is touched.
	if r.clan == "" {
		t.Log("FLEET_CLAN is not set: clan's program was not asked")
		return
	}
	for _, folder := range []string{"vars", "sops/machines", "sops/secrets"} {
		r.run("git", "-C", r.dir, "rm", "-rq", folder)
	}
	r.run("git", "-C", r.dir, "commit", "-qm", "start over")
	r.program(0, "vars", "generate", "web", "db")
	r.right("clan made it")
	if theirs := r.values(); !slices.Equal(ours, theirs) {
		t.Errorf("fleet makes %v\nclan makes %v", ours, theirs)
	}
}

// TestRealClanAge is the same with the secrets in clan's store age.
func TestRealClanAge(t *testing.T) {
	r := newRealClan(t, healthy(realModule(t)))
	if r == nil {
		return
	}
	keys := filepath.Join(r.home, ".config/sops/age/keys.txt")
	first, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := secrets.ParseIdentities(keys, first)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	names := func(names ...string) {
		t.Helper()
		r.module(strings.Replace(healthy(realModule(t)), "inventory.machines", `vars.settings = {
    secretStore = "age";
    recipients.default = [ "`+strings.Join(names, `" "`)+`" ];
  };
  inventory.machines`, 1))
	}
	names(ids.Recipients()[0])

	r.fleet(0, "vars", "generate", "--all")
	r.commit()
	r.right("fleet made it")
	ours := r.values()
	secret := "secrets/clan-vars/per-machine/web/token/secret/secret.age"
	r.changes(func() { r.fleet(0, "vars", "generate", "web", "--regenerate", "token") }, secret)
	r.right("fleet made a value anew")
	if r.clan != "" {
		r.changes(func() { r.program(0, "vars", "generate", "-r", "-g", "token", "web") }, secret)
		r.right("clan made a value anew")
	}
	r.fleet(0, "vars", "keys", "rotate", "web")
	r.commit()
	r.right("fleet gave web another key")
	names(ids.Recipients()[0], public)
	r.fleet(1, "vars", "check")
	r.fleet(0, "vars", "fix")
	r.commit()
	if err := os.WriteFile(keys, secrets.FormatIdentity(public, private), 0o600); err != nil {
		t.Fatal(err)
	}
	r.right("fleet let another administrator in")

	if r.clan == "" {
		t.Log("FLEET_CLAN is not set: clan's program was not asked")
		return
	}
	r.run("git", "-C", r.dir, "rm", "-rq", "vars", "secrets")
	r.run("git", "-C", r.dir, "commit", "-qm", "start over")
	r.program(0, "vars", "generate", "web", "db")
	r.right("clan made it")
	if theirs := r.values(); !slices.Equal(ours, theirs) {
		t.Errorf("fleet makes %v\nclan makes %v", ours, theirs)
	}
}

// realModule is the fleet, and healthy the same without its troubles.
func realModule(t *testing.T) string {
	t.Helper()
	module, err := os.ReadFile("testdata/clan/fleet.nix")
	if err != nil {
		t.Fatal(err)
	}
	return string(module)
}

func healthy(module string) string {
	before, _, _ := strings.Cut(module, "    failing = {")
	return before + "  };\n}\n"
}

// module replaces the fleet.
func (r *realClan) module(text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "fleet.nix"), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.commit()
}

// right wants both programs content with the values of web and db, and nothing
// to do for either.
func (r *realClan) right(when string) {
	r.t.Helper()
	r.fleet(0, "vars", "check", "web", "db")
	if out := r.fleet(0, "vars", "generate", "web", "db"); !strings.Contains(out, "Nothing to do") {
		r.t.Errorf("%s, and fleet: %s", when, out)
	}
	if r.clan != "" {
		for _, machine := range []string{"web", "db"} {
			r.program(0, "vars", "check", machine)
			r.program(0, "vars", "generate", machine)
		}
		for _, value := range []string{"token/secret", "host/pub", "ca/key", "host/key"} {
			if ours, theirs := r.fleet(0, "vars", "get", "web", value), r.program(0, "vars", "get", "web", value); ours != theirs {
				r.t.Errorf("%s, and %s is %q for fleet and %q for clan", when, value, ours, theirs)
			}
		}
	}
	if status := r.run("git", "-C", r.dir, "status", "--porcelain"); status != "" {
		r.t.Errorf("%s, and something changed:\n%s", when, status)
	}
}

// changes wants exactly these files changed by what is done.
func (r *realClan) changes(do func(), files ...string) {
	r.t.Helper()
	before := strings.TrimSpace(r.run("git", "-C", r.dir, "rev-parse", "HEAD"))
	do()
	r.commit()
	changed := strings.Fields(r.run("git", "-C", r.dir, "diff", "--name-only", before))
	if !slices.Equal(changed, files) {
		r.t.Errorf("changed: %v", changed)
	}
}

// values lists all files and links of the values.
func (r *realClan) values() []string {
	r.t.Helper()
	return strings.Fields(r.run("git", "-C", r.dir, "ls-files", "vars", "sops", "secrets"))
}

func (r *realClan) commit() {
	r.t.Helper()
	r.run("git", "-C", r.dir, "add", "--all")
	r.run("git", "-C", r.dir, "commit", "-q", "--allow-empty", "-m", "values")
}

func (r *realClan) fleet(code int, args ...string) string {
	r.t.Helper()
	return r.exit(code, "fleet", append([]string{"--flake", r.dir}, args...)...)
}

func (r *realClan) program(code int, args ...string) string {
	r.t.Helper()
	return r.exit(code, r.clan, append(args, "--flake", r.dir)...)
}

func (r *realClan) run(name string, args ...string) string {
	r.t.Helper()
	return r.exit(0, name, args...)
}

// exit runs a program that is to leave with a code. What it prints is told, and
// of `vars get` only its standard output.
func (r *realClan) exit(code int, name string, args ...string) string {
	r.t.Helper()
	out, talk := r.prints(code, name, args...)
	if slices.Contains(args, "get") || name == "git" {
		return out
	}
	return out + talk
}

// output is what a program prints as data.
func (r *realClan) output(name string, args ...string) string {
	r.t.Helper()
	out, _ := r.prints(0, name, args...)
	return out
}

func (r *realClan) prints(code int, name string, args ...string) (stdout, stderr string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), name, args...)
	cmd.Env, cmd.Dir = r.env, r.dir
	var out, talk bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(r.input), &out, &talk
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		r.t.Fatalf("%s %s: %v, not exit %d\n%s%s", name, strings.Join(args, " "), err, code, out.String(), talk.String())
	}
	return out.String(), talk.String()
}
