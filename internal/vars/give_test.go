package vars

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// give plans and gives, and wants no error.
func (w *world) give(given Given) *GiveReport {
	w.t.Helper()
	p, err := w.fleet.PlanGive(w.t.Context(), given)
	if err != nil {
		w.t.Fatal(err)
	}
	report, err := w.fleet.Give(w.t.Context(), p, GiveOptions{Now: w.opts.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func (w *world) value(machine, generator, file, data string) Given {
	return Given{{Machine: machine, Name: generator}: {file: []byte(data)}}
}

func TestGive(t *testing.T) {
	w := newWorld(t, one(
		gen("pair", `echo old > $out/k; echo old > $out/p`, "k", "p:public"),
		needs(gen("made", `cat $in/pair/k > $out/f`, "f"), "pair"),
		gen("single", ``, "f"),
	))
	// The first value of a machine brings its key.
	report := w.give(w.value("web", "single", "f", "canary-1"))
	if diff := cmp.Diff([]string{"sops/keys/web", "sops/machines/web/key.json", "sops/machines/web/secrets/single/f"}, report.Paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if got := w.get("web", "single/f"); got != "canary-1" {
		t.Errorf("got %q", got)
	}
	if got := w.git("status", "--porcelain", "sops/machines/web/secrets"); got != "A  sops/machines/web/secrets/single/f\n" {
		t.Errorf("git does not know it: %q", got)
	}

	// One file of a generator leaves the others alone, and says what is stale.
	w.generate(Request{})
	before := w.snapshot()
	report = w.give(w.value("web", "pair", "k", "canary-2"))
	if diff := cmp.Diff([]string{"sops/machines/web/secrets/pair/k"}, report.Paths); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if got := report.Notes; len(got) != 1 || !strings.HasPrefix(got[0], "made on web was made from the old value of pair on web and keeps its values; `fleet vars rotate web made`") {
		t.Errorf("notes: %q", got)
	}
	for name, data := range w.snapshot() {
		if strings.Contains(data, "canary") {
			t.Errorf("%s holds the plaintext", name)
		}
		if changed := data != before[name]; changed != (name == "sops/machines/web/secrets/pair/k") {
			t.Errorf("%s: changed = %t", name, changed)
		}
	}
	if findings, err := w.fleet.Check(t.Context()); err != nil || len(findings) > 0 {
		t.Errorf("check: %v %v", findings, err)
	}

	// What is there already is not written again.
	p, err := w.fleet.PlanGive(t.Context(), w.value("web", "pair", "k", "canary-2"))
	if err != nil || !p.Empty() {
		t.Errorf("plan: %v %v", p, err)
	}
	if text := p.String(); text != "keep web/pair/k\n" {
		t.Errorf("plan: %q", text)
	}
}

// A commit holds the written files only.
func TestGiveCommits(t *testing.T) {
	w := newWorld(t, one(gen("a", ``, "f:public")))
	w.write("other", "text")
	w.git("add", "other")
	p, err := w.fleet.PlanGive(t.Context(), w.value("web", "a", "f", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fleet.Give(t.Context(), p, GiveOptions{Now: w.opts.Now, Commit: true}); err != nil {
		t.Fatal(err)
	}
	if got := w.git("show", "--format=%s", "--name-only"); got != "feat(vars): set web/a/f\n\nsops/machines/web/facts/a/f\n" {
		t.Errorf("commit:\n%s", got)
	}
}

// A value of today is up to date, unless others of its generator are not.
func TestGiveValidation(t *testing.T) {
	w := newWorld(t, one(valid(gen("a", `echo > $out/f; echo > $out/g`, "f", "g"), "1")))
	w.give(w.value("web", "a", "f", "x"))
	w.give(w.value("web", "a", "g", "x"))
	hash := func() string {
		got, err := w.fleet.Layout.Hash("web", "a")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if hash() != "1" {
		t.Errorf("hash %q after all was given", hash())
	}
	w.fleet.Machines["web"].Generators["a"].ValidationHash = "2"
	w.give(w.value("web", "a", "f", "y"))
	if hash() != "1" {
		t.Errorf("hash %q beside an old value", hash())
	}
	w.give(Given{{Machine: "web", Name: "a"}: {"f": []byte("z"), "g": []byte("z")}})
	if hash() != "2" {
		t.Errorf("hash %q after all was given anew", hash())
	}
}

// A replaced shared value stays readable by a machine that is not looked at.
func TestGiveShared(t *testing.T) {
	ca := func() *flake.Generator { return shared(gen("ca", `echo > $out/c`, "c")) }
	w := newWorld(t, map[string][]*flake.Generator{"web": {ca()}, "db": {ca()}})
	w.generate(Request{})
	w.set(map[string][]*flake.Generator{"web": {ca()}})
	w.give(w.value("", "ca", "c", "new"))
	w.set(map[string][]*flake.Generator{"web": {ca()}, "db": {ca()}})
	if findings, err := w.fleet.Check(t.Context()); err != nil || len(findings) > 0 {
		t.Errorf("check: %v %v", findings, err)
	}
	if got := w.get("db", "ca/c"); got != "new" {
		t.Errorf("got %q", got)
	}
}

func TestGiveErrors(t *testing.T) {
	w := newWorld(t, one(gen("wifi", ``, "password"), shared(gen("ca", ``, "c"))))
	_, err := w.fleet.PlanGive(t.Context(), Given{
		{Machine: "wep", Name: "wifi"}:  {"password": nil},
		{Machine: "web", Name: "wiffi"}: {"password": nil},
		{Machine: "web", Name: "wifi"}:  {"pasword": nil},
		{Machine: "web", Name: "ca"}:    {"c": nil},
		{Name: "ka"}:                    {"c": nil},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"there is no machine wep, did you mean web?",
		"web has no generator wiffi, did you mean wifi?",
		"generator wifi on web has no file pasword, did you mean password?",
		"generator ca of web is shared: its values belong into shared/ca",
		"no machine shares a generator ka, did you mean ca?",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}

	p, err := w.fleet.PlanGive(t.Context(), w.value("web", "wifi", "password", "mine"))
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.fleet.Give(cancelled, p, GiveOptions{Now: w.opts.Now}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	w.give(w.value("web", "wifi", "password", "theirs"))
	if _, err := w.fleet.Give(t.Context(), p, GiveOptions{Now: w.opts.Now}); !errors.Is(err, ErrChanged) {
		t.Errorf("somebody else was faster: %v", err)
	}
	if got := w.get("web", "wifi/password"); got != "theirs" {
		t.Errorf("got %q", got)
	}
}

// Whatever step a crash hits, the next run ends in the old or the new state.
func TestGiveCrash(t *testing.T) {
	crash := errors.New("crash")
	for at := 0; ; at++ {
		w := newWorld(t, one(gen("a", ``, "f", "p:public")))
		given := Given{{Machine: "web", Name: "a"}: {"f": []byte("f"), "p": []byte("p")}}
		p, err := w.fleet.PlanGive(t.Context(), given)
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		// From the crash on nothing works any more: nothing is tidied up.
		_, err = w.fleet.Give(t.Context(), p, GiveOptions{Now: w.opts.Now, step: func(string) error {
			if steps++; steps > at {
				return crash
			}
			return nil
		}})
		if err == nil {
			if at < 5 {
				t.Errorf("only %d steps", at)
			}
			return
		}
		if _, err := w.fleet.Recover(t.Context(), Limits{}); err != nil {
			t.Fatalf("step %d: %v", at, err)
		}
		count := 0
		for name := range w.snapshot() {
			if strings.HasSuffix(name, ".fleet-new") {
				t.Errorf("step %d: %s is left", at, name)
			}
			if !strings.HasPrefix(name, "sops/users/") {
				count++
			}
		}
		if count != 0 && count != 4 {
			t.Errorf("step %d: %d of 4 files", at, count)
		}
	}
}

func TestExportImport(t *testing.T) {
	t.Run("native", func(t *testing.T) {
		exportImport(t, func(dir, _ string) (secrets.Layout, error) { return secrets.OpenNative(dir) },
			"db/b/binary", "db/b/empty", "shared/ca/cert", "shared/ca/key", "web/a/binary", "web/a/empty", "web/a/line")
	})
	t.Run("clan", func(t *testing.T) {
		exportImport(t, func(dir, public string) (secrets.Layout, error) {
			return secrets.OpenClan(dir, secrets.ClanOptions{Own: []string{public}})
		}, "per-machine/db/b/.validation-hash", "per-machine/db/b/binary", "per-machine/db/b/empty", "per-machine/web/a/binary",
			"per-machine/web/a/empty", "per-machine/web/a/line", "shared/ca/cert", "shared/ca/key")
	})
}

func exportImport(t *testing.T, open func(dir, public string) (secrets.Layout, error), files ...string) {
	t.Helper()
	binary := make([]byte, 64<<10)
	_, _ = rand.Read(binary)
	machines := func() map[string][]*flake.Generator {
		return map[string][]*flake.Generator{
			"web": {gen("a", ``, "empty", "binary", "line", "none"), shared(gen("ca", ``, "key:local", "cert:public"))},
			"db":  {valid(gen("b", ``, "empty:public", "binary:public"), "1"), shared(gen("ca", ``, "key:local", "cert:public"))},
		}
	}
	given := Given{
		{Machine: "web", Name: "a"}: {"empty": {}, "binary": binary, "line": []byte("no final newline")},
		{Machine: "db", Name: "b"}:  {"empty": {}, "binary": []byte("\x00\xff\r\n")},
		{Name: "ca"}:                {"key": []byte("ключ\n\n"), "cert": []byte("\n")},
	}
	w := newWorldIn(t, machines(), open)
	w.give(given)

	export, err := w.fleet.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"web/a/none"}, export.Missing); diff != "" || len(export.Outdated) > 0 || len(export.Values) != 7 {
		t.Errorf("export: %s %v %v", diff, export.Outdated, export.Values)
	}
	folder := filepath.Join(t.TempDir(), "values")
	if err := os.Mkdir(folder, 0o755); err != nil { // empty is fine, and is closed
		t.Fatal(err)
	}
	if err := export.Write(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[d.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, sorted(snapshot(t, folder))); diff != "" {
		t.Error(diff)
	}
	if data, _ := os.ReadFile(filepath.Join(folder, "shared/ca/key")); string(data) != "ключ\n\n" {
		t.Errorf("shared/ca/key is %q", data)
	}

	read, err := ReadExport(t.Context(), folder, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	fresh := newWorldIn(t, machines(), open)
	fresh.give(read)
	again, err := fresh.fleet.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(given, again.data); diff != "" {
		t.Errorf("a round trip changes (-want +got):\n%s", diff)
	}
	if p, err := fresh.fleet.PlanGive(t.Context(), read); err != nil || !p.Empty() {
		t.Errorf("again: %v %v", p, err)
	}
}

func TestExportRefuses(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f`, "f")))
	w.generate(Request{})
	export, err := w.fleet.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"full/f", "file", "tree/.git"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755), os.WriteFile(filepath.Join(dir, name), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink(w.root, filepath.Join(dir, "flake")), os.Symlink("nowhere", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, w.root)
	for folder, want := range map[string]string{
		filepath.Join(dir, "full"):      "is not empty",
		filepath.Join(dir, "file"):      "is no folder",
		filepath.Join(dir, "link"):      "is no folder",
		filepath.Join(dir, "none/here"): "no such file or directory",
		filepath.Join(w.root, "plain"):  "lies inside the flake",
		filepath.Join(dir, "flake/sub"): "lies inside the flake",
		w.root:                          "lies inside the flake",
		filepath.Join(dir, "tree/sub"):  "lies in the git work tree " + filepath.Join(dir, "tree"),
	} {
		if err := export.Write(t.Context(), folder); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", folder, err, want)
		}
	}
	// Interrupted, it leaves nothing in plain.
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := export.Write(cancelled, filepath.Join(dir, "new")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, snapshot(t, w.root)); diff != "" {
		t.Errorf("the flake was changed:\n%s", diff)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 5 {
		t.Errorf("something is left: %v", entries)
	}
	// A value that cannot be read is no hole.
	w.fleet.Identities = identities(t, nil)
	if _, err := w.fleet.Export(t.Context()); err == nil {
		t.Error("an export without a key")
	}
}

func TestReadExportErrors(t *testing.T) {
	for name, want := range map[string]string{
		"":              "holds no values",
		"web/a":         "is no value: files are named MACHINE/GENERATOR/FILE",
		"web/a/f/extra": "is no value",
		"web/a/big":     "is larger than",
		"web/a/link":    "is no value",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case name == "":
		case strings.HasSuffix(name, "link"):
			err = errors.Join(err, os.Symlink("/etc/passwd", path))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte("12345"), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadExport(t.Context(), dir, Limits{FileBytes: 4}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", name, err, want)
		}
	}
}

func TestReached(t *testing.T) {
	units := func(g *flake.Generator, file string, units ...string) *flake.Generator {
		g.Files[file].RestartUnits = units
		return g
	}
	machines := details(map[string][]*flake.Generator{
		"web":  {units(gen("wifi", ``, "f", "g"), "f", "b.service", "a.service"), shared(gen("ca", ``, "key:local", "cert:public"))},
		"db":   {shared(gen("ca", ``, "key:local", "cert:public"))},
		"mail": {gen("wifi", ``, "f")},
	})
	for _, tt := range []struct {
		values map[ID][]string
		want   []Reach
	}{
		{map[ID][]string{{Machine: "web", Name: "wifi"}: {"f", "g"}}, []Reach{{"web", []string{"a.service", "b.service"}}}},
		{map[ID][]string{{Machine: "web", Name: "wifi"}: {"g"}}, []Reach{{"web", []string{}}}},
		{map[ID][]string{{Name: "ca"}: {"key"}}, []Reach{}},
		{map[ID][]string{{Name: "ca"}: {"cert"}}, []Reach{{"db", []string{}}, {"web", []string{}}}},
	} {
		if diff := cmp.Diff(tt.want, Reached(machines, tt.values)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.values, diff)
		}
	}
}

// Who is not selected and has a certificate of the old authority is told of.
func TestStale(t *testing.T) {
	ca := func() *flake.Generator { return shared(gen("ca", `echo > $out/k`, "k:local")) }
	cert := func() *flake.Generator { return needs(gen("cert", `cat $in/ca/k > $out/c`, "c"), "ca") }
	w := newWorld(t, map[string][]*flake.Generator{"web": {ca(), cert()}, "db": {ca(), cert()}, "new": {ca(), cert()}})
	all := w.fleet.Machines
	w.fleet.Machines = map[string]*flake.Details{"web": all["web"], "db": all["db"]}
	w.generate(Request{})
	w.fleet.Machines = map[string]*flake.Details{"web": all["web"]}
	notes, err := w.fleet.Stale(all, map[ID][]string{{Name: "ca"}: {"k"}})
	want := []string{"cert on db was made from the old value of ca (shared) and keeps its values; `fleet vars rotate db cert` renews them"}
	if diff := cmp.Diff(want, notes); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
