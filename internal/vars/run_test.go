package vars

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/secrets"
)

func TestGenerate(t *testing.T) {
	w := newWorld(t, map[string][]*genT{
		"web": {
			gen("key", `printf 'private of web' > $out/key; printf public > $out/key.pub`, "key", "key.pub:public"),
			shared(gen("ca", `echo authority > $out/ca`, "ca:local")),
			needs(gen("cert", `cat $in/ca/ca $in/key/key.pub > $out/cert`, "cert"), "ca", "key"),
		},
		"db": {
			shared(gen("ca", `echo authority > $out/ca`, "ca:local")),
			gen("key", `printf 'private of db' > $out/key; : > $out/key.pub`, "key", "key.pub:public"),
		},
	})
	report := w.generate(Request{})
	want := []string{
		"sops/keys/db", "sops/keys/web",
		"sops/machines/db/facts/key/key.pub", "sops/machines/db/key.json", "sops/machines/db/secrets/key/key",
		"sops/machines/web/facts/key/key.pub", "sops/machines/web/key.json", "sops/machines/web/secrets/cert/cert", "sops/machines/web/secrets/key/key",
		"sops/shared/secrets/ca/ca",
	}
	if diff := cmp.Diff(want, report.Paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"key/key": "private of web", "key/key.pub": "public", "cert/cert": "authority\npublic", "ca/ca": "authority\n"} {
		if got := w.get("web", name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := w.get("db", "key/key.pub"); got != "" {
		t.Errorf("an empty value came back as %q", got)
	}
	if findings, err := w.fleet.Check(t.Context()); err != nil || len(findings) > 0 {
		t.Errorf("check: %v, %v", findings, err)
	}
	// Git has every new file with its content, so that not even this loses one.
	w.git("checkout", "--", ".")
	if got := w.get("db", "key/key"); got == "" {
		t.Error("git checkout has emptied a secret")
	}
	if got := w.git("diff", "--cached", "--name-only"); strings.TrimSpace(got) != strings.Join(want, "\n") {
		t.Errorf("files that git knows of:\n%s", got)
	}
	if status := w.git("status", "--porcelain", "--untracked-files=all"); strings.Contains(status, "??") && !strings.Contains(status, "?? sops/users/") {
		t.Errorf("untracked files:\n%s", status)
	}

	before := w.snapshot()
	w.fleet.Identities = &secrets.Identities{} // nothing to do needs no key
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("the second plan is not empty:\n%s", p)
	}
	w.generate(Request{})
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("the second run changed something:\n%s", diff)
	}
}

func TestGenerateFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		gens   []*genT
		want   []string
		absent []string
		made   string
	}{
		{
			name: "exit code, with secrets masked",
			gens: []*genT{
				gen("source", `printf 'canary-of-source' > $out/s`, "s:local"),
				needs(gen("bad", `echo "reading $(cat $in/source/s)" >&2; printf 'half-written' > $out/f; cat $out/f; exit 3`, "f"), "source"),
			},
			want: []string{"generator bad on web: the script failed with exit code 3", "reading ********"}, absent: []string{"canary", "half-written"},
			made: "source/s",
		},
		{
			name: "a near match",
			gens: []*genT{gen("ssh-host-key", `echo a > $out/id_ed25519; echo b > $out/id_ed25519.pub`, "id_ed25519", "id_ed25519_pub:public")},
			want: []string{"generator ssh-host-key on web did not write id_ed25519_pub; it wrote id_ed25519, id_ed25519.pub: is id_ed25519.pub meant? rename"},
		},
		{
			name: "nothing written",
			gens: []*genT{gen("lazy", ``, "a")},
			want: []string{"generator lazy on web did not write a; it wrote nothing"},
		},
		{
			name: "dependents are skipped, others are made",
			gens: []*genT{
				gen("bad", `exit 1`, "a"),
				needs(gen("next", `echo > $out/b`, "b"), "bad"),
				needs(gen("last", `echo > $out/b`, "b"), "next"),
				gen("good", `echo good > $out/a`, "a"),
			},
			want: []string{"bad on web: the script failed", "next on web made nothing, because bad on web failed", "last on web made nothing, because next on web failed"},
			made: "good/a",
		},
		{
			name: "a link in place of a file",
			gens: []*genT{gen("link", `ln -s /etc/passwd $out/a`, "a")},
			want: []string{`generator link on web: the script left "a" in $out, which is not a regular file`},
		},
		{
			name: "a pipe in place of a file",
			gens: []*genT{gen("pipe", `mkfifo $out/a`, "a")},
			want: []string{`the script left "a" in $out, which is not a regular file`},
		},
		{
			name: "a locked folder",
			gens: []*genT{gen("dir", `mkdir $out/a; echo x > $out/a/b; chmod 0 $out/a`, "a")},
			want: []string{`the script left "a" in $out, which is not a regular file`},
		},
		{
			name: "a prompt masked",
			gens: []*genT{asks(gen("echo", `cat $prompts/word; exit 1`, "a"), "word", false)},
			want: []string{"it printed:\n  ********"}, absent: []string{"canary"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, one(tt.gens...))
			w.opts.Sources.Answers = Answers{"web": {"echo": {"word": "canary-of-word"}}}
			if tt.name != "a prompt masked" {
				w.opts.Sources.Answers = nil
			}
			_, err := w.run(Request{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
			for _, absent := range tt.absent {
				if strings.Contains(err.Error(), absent) {
					t.Errorf("the error shows %q:\n%v", absent, err)
				}
			}
			rows, err := w.fleet.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				if want := row.Generator+"/"+row.File == tt.made; row.Present != want {
					t.Errorf("%s/%s: present is %t", row.Generator, row.File, row.Present)
				}
			}
		})
	}
}

func TestUnbuildableScriptFailsAlone(t *testing.T) {
	bad, good := gen("bad", "", "a"), gen("good", "echo > $out/a", "a")
	w := newWorld(t, one(bad, good))
	bad.Script = unbuildable(t)
	_, err := w.run(Request{})
	if err == nil || !strings.Contains(err.Error(), "generator bad on web: its script was not built") {
		t.Fatalf("got %v", err)
	}
	w.get("web", "good/a")
}

func TestNothingIsReplacedUnlessNamed(t *testing.T) {
	version := func(v string) map[string][]*genT {
		return one(
			shared(gen("ca", `echo `+v+` > $out/ca; [ `+v+` != broken ]`, "ca:local")),
			needs(valid(gen("cert", `cat $in/ca/ca > $out/cert; echo `+v+` >> $out/cert`, "cert"), "hash-"+v), "ca"),
		)
	}
	w := newWorld(t, version("one"))
	w.generate(Request{})

	w.set(version("two"))
	_, err := w.run(Request{})
	if err == nil || !strings.Contains(err.Error(), "generator cert on web: what it is made from (its validation) has changed") || !strings.Contains(err.Error(), "`--regenerate cert`") {
		t.Fatalf("got %v", err)
	}
	if got := w.get("web", "cert/cert"); got != "one\none\n" {
		t.Fatalf("the refused generator ran: %q", got)
	}

	p := w.plan(Request{Regenerate: []string{"ca"}})
	if got := p.String(); !strings.Contains(got, "ca (shared by web): REPLACES ca") || !strings.Contains(got, "cert on web: it depends on ca (shared)") && !strings.Contains(got, "validation) has changed") {
		t.Errorf("plan:\n%s", got)
	}
	w.generate(Request{Regenerate: []string{"cert"}})
	if got := w.get("web", "cert/cert"); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("the new hash was not kept:\n%s", p)
	}

	// A dependent that keeps its value is noted.
	p = w.plan(Request{Regenerate: []string{"ca"}})
	if len(p.Steps) != 1 || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "`--regenerate ca,cert` renews both") {
		t.Errorf("plan:\n%s", p)
	}

	// When one of the two fails, both keep their old values.
	w.set(one(
		shared(gen("ca", `echo three > $out/ca`, "ca:local")),
		needs(valid(gen("cert", `exit 1`, "cert"), "hash-three"), "ca"),
	))
	before := w.snapshot()
	if _, err := w.run(Request{Regenerate: []string{"ca", "cert"}}); err == nil || !strings.Contains(err.Error(), "generator ca (shared) made nothing, because cert on web failed") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("a mixed pair was left:\n%s", diff)
	}
}

func TestPartialIsRefused(t *testing.T) {
	w := newWorld(t, one(gen("id", `echo > $out/a`, "a")))
	w.generate(Request{})
	w.set(one(gen("id", `echo 2 > $out/a; echo > $out/b`, "a", "b"), needs(gen("user", `echo > $out/c`, "c"), "id")))
	before := w.snapshot()
	_, err := w.run(Request{})
	for _, want := range []string{
		"generator id on web: b is missing while a exists; `--keep id` makes only b, which need not belong to what is there; `--regenerate id` makes all its values anew and replaces a",
		"generator user on web: it depends on id on web, which is refused",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
	w.generate(Request{Regenerate: []string{"id"}})
	w.get("web", "user/c")
}

func TestMachineJoinsSharedValue(t *testing.T) {
	token := func() *genT { return shared(gen("token", `cat /proc/sys/kernel/random/uuid > $out/t`, "t")) }
	w := newWorld(t, map[string][]*genT{"a": {token()}, "b": {token()}})
	w.generate(Request{})
	value := w.get("a", "token/t")
	all := w.fleet.Machines

	// c alone is selected; a and b keep what they can read.
	w.set(map[string][]*genT{"c": {token()}})
	p := w.plan(Request{})
	if want := []Rewrap{{ID: ID{Name: "token"}, File: "t", Add: []string{"machine c"}}}; cmp.Diff(want, p.Rewraps) != "" || len(p.Steps) > 0 {
		t.Errorf("plan:\n%s", p)
	}
	w.generate(Request{})
	all["c"] = w.fleet.Machines["c"]
	w.fleet.Machines = all
	if findings, err := w.fleet.Check(t.Context()); err != nil || len(findings) > 0 {
		t.Errorf("check: %v, %v", findings, err)
	}
	for _, machine := range []string{"a", "b", "c"} {
		if got := w.get(machine, "token/t"); got != value {
			t.Errorf("%s: got %q, want %q", machine, got, value)
		}
		key, err := secrets.MachinePrivateKey(t.Context(), w.fleet.Layout, machine, w.fleet.Identities)
		if err != nil {
			t.Fatal(err)
		}
		ref := secrets.Ref{Generator: "token", File: "t", Secret: true}
		if got, err := secrets.Open(t.Context(), w.fleet.Layout, ref, identities(t, key)); err != nil || string(got) != value {
			t.Errorf("machine %s reads %q, %v", machine, got, err)
		}
	}

	// Made anew for c alone, the others can still read it.
	w.fleet.Machines = details(map[string][]*genT{"c": {all["c"].Generators["token"]}})
	w.generate(Request{Regenerate: []string{"token"}})
	w.fleet.Machines = all
	if findings, err := w.fleet.Check(t.Context()); err != nil || len(findings) > 0 {
		t.Errorf("check: %v, %v", findings, err)
	}
}

func TestNewAdministratorReadsEverything(t *testing.T) {
	w := newWorld(t, one(gen("key", `echo secret > $out/k`, "k")))
	w.generate(Request{})
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	w.admin("bob", public)
	findings, err := w.fleet.Check(t.Context())
	if err != nil || len(findings) != 2 || !strings.Contains(findings[1].String(), "cannot be read by administrator bob; run `fleet vars generate web`") {
		t.Errorf("check: %v, %v", findings, err)
	}
	report := w.generate(Request{})
	if len(report.Rewrapped) != 2 { // the value and the machine's private key
		t.Errorf("rewrapped: %v", report.Rewrapped)
	}
	w.fleet.Identities = identities(t, private)
	if got := w.get("web", "key/k"); got != "secret\n" {
		t.Errorf("bob reads %q", got)
	}
	if _, err := secrets.MachinePrivateKey(t.Context(), w.fleet.Layout, "web", w.fleet.Identities); err != nil {
		t.Error(err)
	}
}

// Somebody who can read nothing yet makes what is missing, and is told once who
// has to do the rest.
func TestNewAdministratorBeforeOthers(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f`, "f"), gen("b", `echo > $out/f`, "f"), gen("c", `echo > $out/f`, "f"), gen("d", `echo d > $out/f`, "f")))
	w.generate(Request{Generators: []string{"a", "b", "c"}})
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	w.admin("bob", public)
	w.fleet.Identities = identities(t, private)
	_, err = w.run(Request{})
	if err == nil || !strings.Contains(err.Error(), "1 error occurred") ||
		!strings.Contains(err.Error(), "4 existing secrets lack readers and cannot be opened with your keys (the private key of web, web/a/f, web/b/f, …): an administrator who can read them has to run") {
		t.Errorf("got %v", err)
	}
	if got := w.get("web", "d/f"); got != "d\n" {
		t.Errorf("got %q", got)
	}
}

func TestNoAdministrator(t *testing.T) {
	w := newWorld(t, one(gen("key", `echo > $out/k`, "k")))
	if err := os.RemoveAll(filepath.Join(w.root, "sops")); err != nil {
		t.Fatal(err)
	}
	_, err := w.fleet.Plan(t.Context(), Request{})
	if !errors.Is(err, secrets.ErrNoAdmin) || !strings.Contains(err.Error(), "fleet vars keys init") {
		t.Errorf("got %v", err)
	}
}

func TestInterruptedChangesNothing(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f`, "f"), gen("b", `sleep 300`, "f")))
	ctx, cancel := context.WithCancel(t.Context())
	w.opts.OnEvent = func(e Event) {
		if e.Kind == Finished {
			cancel()
		}
	}
	before := w.snapshot()
	_, err := w.fleet.Run(ctx, w.plan(Request{}), w.opts)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
}

func TestPlanOutOfDate(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f`, "f")))
	p := w.plan(Request{})
	w.generate(Request{})
	if _, err := w.fleet.Run(t.Context(), p, w.opts); !errors.Is(err, ErrChanged) {
		t.Errorf("got %v", err)
	}
}

func TestUndeclaredFileIsNoted(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f; echo > $out/extra`, "f")))
	w.generate(Request{})
	for _, e := range w.events {
		if e.Kind == Noted && strings.Contains(e.Text, "the script also wrote extra") {
			return
		}
	}
	t.Errorf("events: %v", w.events)
}

func TestCommit(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f`, "f")))
	w.write("own.txt", "mine")
	w.git("add", "own.txt")
	w.opts.Commit = true
	report := w.generate(Request{})
	if got := w.git("log", "--format=%s"); got != "feat(vars): generate web/a\n" {
		t.Errorf("message: %q", got)
	}
	if got := strings.Fields(w.git("show", "--name-only", "--format=")); cmp.Diff(report.Paths, got) != "" {
		t.Errorf("committed: %v", got)
	}
	if got := w.git("status", "--porcelain", "own.txt"); got != "A  own.txt\n" {
		t.Errorf("the user's own staged file: %q", got)
	}
}

func TestWithoutGit(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f`, "f")))
	if err := os.RemoveAll(filepath.Join(w.root, ".git")); err != nil {
		t.Fatal(err)
	}
	w.generate(Request{})
	w.get("web", "a/f")
	if left, _ := filepath.Glob(filepath.Join(w.root, ".fleet*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestGitAddFails(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f`, "f")))
	w.write(".gitignore", "sops\n")
	_, err := w.run(Request{})
	if err == nil || !strings.Contains(err.Error(), "the files are written, but git does not know the new ones") {
		t.Errorf("got %v", err)
	}
	w.get("web", "a/f")
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("the next plan:\n%s", p)
	}
}

// A script of clan names no interpreter; it is run with the bash of its machine,
// which need not be there before.
func TestScriptWithoutInterpreter(t *testing.T) {
	w := newWorld(t, one(gen("token", "replaced", "token")))
	expr := `
let
  run = name: command: extra: derivation ({
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/busybox";
    args = [ "sh" "-c" command ];
  } // extra);
  text = "set -euo pipefail\n[[ $BASH_VERSION == *.* ]]\necho made > $out/token\n";
  script = run "plain-script" "/bin/busybox cp $textPath $out; /bin/busybox chmod +x $out" { passAsFile = [ "text" ]; inherit text; };
  shell = run "shell" "/bin/busybox mkdir -p $out/bin; /bin/busybox cp /bin/bash-static $out/bin/bash; : ${toString UNIQUE}" { };
in
map (d: [ d.drvPath d.outPath ]) [ script shell ]`
	expr = strings.Replace(expr, "UNIQUE", fmt.Sprint(time.Now().UnixNano()), 1)
	var drvs [][2]string
	if err := testNix(t).Eval(t.Context(), nix.EvalRequest{Expr: expr, Args: []string{"--impure"}}, &drvs); err != nil {
		t.Fatal(err)
	}
	g := w.fleet.Machines["web"].Generators["token"]
	g.Script = &flake.Derivation{DrvPath: drvs[0][0], OutPath: drvs[0][1]}
	g.Shell = &flake.Derivation{DrvPath: drvs[1][0], OutPath: drvs[1][1]}
	w.generate(Request{})
	if got := w.get("web", "token/token"); got != "made\n" {
		t.Errorf("got %q", got)
	}
}
