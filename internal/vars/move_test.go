package vars

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// tokens is a generator named token whose values differ from run to run.
func tokens(files ...string) *genT {
	script := ""
	for _, file := range files {
		name, _, _ := strings.Cut(file, ":")
		script += "cat /proc/sys/kernel/random/uuid > $out/" + name + "\n"
	}
	return gen("token", script, files...)
}

// layouts runs a test in a world of each layout, with nothing made yet.
func layouts(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("native", func(t *testing.T) { test(t, newWorld(t, nil)) })
	t.Run("clan", func(t *testing.T) {
		test(t, newWorldIn(t, nil, func(dir, public string) (secrets.Layout, error) {
			return secrets.OpenClan(dir, secrets.ClanOptions{Own: []string{public}})
		}))
	})
}

// reads tells whether a machine opens the secret with its own key.
func (w *world) reads(machine string, ref secrets.Ref) bool {
	w.t.Helper()
	key, err := secrets.MachinePrivateKey(w.t.Context(), w.fleet.Layout, machine, w.fleet.Identities)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = secrets.Open(w.t.Context(), w.fleet.Layout, ref, identities(w.t, key))
	return err == nil
}

// of gives every machine the generator.
func of(g func() *genT, machines ...string) map[string][]*genT {
	all := map[string][]*genT{}
	for _, m := range machines {
		all[m] = []*genT{g()}
	}
	return all
}

// Shared, then each machine's own, then shared again: one value all the way.
func TestShareToggledKeepsTheValue(t *testing.T) {
	layouts(t, func(t *testing.T, w *world) {
		hashed := func() *genT { return valid(tokens("key", "pub:public", "seed:local"), "hash") }
		w.set(of(func() *genT { return shared(hashed()) }, "a", "b"))
		w.generate(Request{})
		before := w.snapshot()
		values := map[string]string{}
		for _, file := range []string{"key", "pub", "seed"} {
			values[file] = w.get("a", "token/"+file)
		}
		same := func(machines ...string) {
			t.Helper()
			for _, machine := range machines {
				for file, want := range values {
					if got := w.get(machine, "token/"+file); got != want {
						t.Errorf("%s of %s is %q, want %q", file, machine, got, want)
					}
				}
			}
			if p := w.plan(Request{}); !p.Empty() {
				t.Errorf("something is left to do:\n%s", p)
			}
			w.sound()
		}

		w.set(of(hashed, "a", "b"))
		p := w.plan(Request{})
		if len(p.Steps)+len(p.Refused)+len(p.Notes) > 0 || len(p.Moves) != 2 || len(p.Removes) != 4 || p.Moves[0].From != "shared" {
			t.Errorf("plan:\n%s", p)
		}
		report := w.generate(Request{})
		if want := []ID{{"a", "token"}, {"b", "token"}}; !slices.Equal(report.Moved, want) {
			t.Errorf("moved: %v", report.Moved)
		}
		same("a", "b")
		if refs, err := w.fleet.Layout.List(); err != nil || len(refs) != 6 {
			t.Errorf("there are %v, %v", refs, err)
		}
		ref := secrets.Ref{Machine: "a", Generator: "token", File: "key", Secret: true}
		if !w.reads("a", ref) || w.reads("b", ref) {
			t.Error("the secret of a is not for a alone")
		}
		if status := w.git("status", "--porcelain", "--untracked-files=all"); strings.Contains(status, "?? vars") || strings.Contains(status, "?? sops/m") {
			t.Errorf("git does not know:\n%s", status)
		}

		w.set(of(func() *genT { return shared(hashed()) }, "a", "b"))
		w.generate(Request{})
		same("a", "b")
		after := w.snapshot()
		if diff := cmp.Diff(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))); diff != "" {
			t.Errorf("not the same files as in the beginning:\n%s", diff)
		}
		ref.Machine = ""
		if !w.reads("a", ref) || !w.reads("b", ref) {
			t.Error("the shared secret is not for both")
		}
	})
}

// Where the machines have different values it takes a word whose everybody gets.
func TestDifferentValuesAreShared(t *testing.T) {
	layouts(t, func(t *testing.T, w *world) {
		own := func() *genT { return tokens("key", "pub:public") }
		w.set(of(own, "a", "b", "c"))
		w.generate(Request{})
		before := w.snapshot()
		w.set(of(func() *genT { return shared(own()) }, "a", "b", "c"))
		_, err := w.run(Request{})
		if want := "generator token (shared): it is shared from now on, and its values on a, b, c differ; `--take MACHINE` gives those of one to all, `--regenerate token` makes new ones"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := w.fleet.Plan(t.Context(), Request{Take: "d"}); err == nil || !strings.Contains(err.Error(), "no selected machine is called d") {
			t.Errorf("got %v", err)
		}
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("something changed:\n%s", diff)
		}

		p := w.plan(Request{Take: "b"})
		if len(p.Moves) != 1 || p.Moves[0].From != "b" || !slices.Equal(p.Moves[0].Drops, []string{"a", "c"}) {
			t.Errorf("plan:\n%s", p)
		}
		want := []string{w.getOwn("b", "key", true), w.getOwn("b", "pub", false)}
		w.generate(Request{Take: "b"})
		for _, machine := range []string{"a", "b", "c"} {
			if got := []string{w.get(machine, "token/key"), w.get(machine, "token/pub")}; !slices.Equal(got, want) {
				t.Errorf("%s has %q, want %q", machine, got, want)
			}
		}
		if refs, err := w.fleet.Layout.List(); err != nil || len(refs) != 2 {
			t.Errorf("there are %v, %v", refs, err)
		}
		w.sound()
	})
}

// getOwn gives a value at a machine's own place, whatever is declared.
func (w *world) getOwn(machine, file string, secret bool) string {
	w.t.Helper()
	value, err := secrets.Open(w.t.Context(), w.fleet.Layout, secrets.Ref{Machine: machine, Generator: "token", File: file, Secret: secret}, w.fleet.Identities)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(value)
}

// Without a key it cannot be told whether values are the same, and one that
// nobody can open is not moved; whatever could not be done leaves all in place.
func TestMoveWithoutAKey(t *testing.T) {
	w := newWorld(t, of(func() *genT { return tokens("key") }, "a", "b"))
	w.generate(Request{})
	before := w.snapshot()
	w.fleet.Identities = &secrets.Identities{}
	w.set(of(func() *genT { return shared(tokens("key")) }, "a", "b"))
	_, err := w.run(Request{})
	if err == nil || !strings.Contains(err.Error(), "whether its values on a, b are the same cannot be told") {
		t.Errorf("got %v", err)
	}
	_, err = w.run(Request{Take: "a"})
	if err == nil || !strings.Contains(err.Error(), "generator token (shared) is to keep its value: sops/machines/a/secrets/token/key: ") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
}

// Only a is looked at: the shared value stays for b, and goes when b has its own.
func TestUnsharedOneByOne(t *testing.T) {
	w := newWorld(t, of(func() *genT { return shared(tokens("key")) }, "a", "b"))
	w.generate(Request{})
	value := w.get("a", "token/key")
	w.set(of(func() *genT { return tokens("key") }, "a", "b"))
	all := w.fleet.Machines

	w.fleet.Machines = map[string]*flake.Details{"a": all["a"]}
	p := w.plan(Request{})
	if len(p.Moves) != 1 || len(p.Removes) > 0 || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "the shared values of token stay where they are") {
		t.Errorf("plan:\n%s", p)
	}
	w.generate(Request{})
	w.fleet.Machines = map[string]*flake.Details{"b": all["b"]}
	w.generate(Request{})
	w.fleet.Machines = all
	for _, machine := range []string{"a", "b"} {
		if got := w.get(machine, "token/key"); got != value {
			t.Errorf("%s has %q, want %q", machine, got, value)
		}
	}
	audit, err := w.fleet.Audit(t.Context(), true)
	if err != nil || len(audit.Findings) != 1 || audit.Findings[0].Mend != "run `git rm sops/shared/secrets/token/key`" {
		t.Errorf("audit: %v, %v", audit, err)
	}
}

// A machine that never could read the shared value gets one of its own.
func TestOwnValueBesideASharedOne(t *testing.T) {
	w := newWorld(t, of(func() *genT { return shared(tokens("key")) }, "a"))
	w.generate(Request{})
	w.set(map[string][]*genT{"a": {shared(tokens("key"))}, "b": {tokens("key")}})
	w.generate(Request{})
	if w.get("a", "token/key") == w.get("b", "token/key") {
		t.Error("b has the value of a")
	}
	w.sound()
}

// A machine joins what others share, and has had values of its own.
func TestOwnValueGivesWayToASharedOne(t *testing.T) {
	w := newWorld(t, map[string][]*genT{"a": {shared(tokens("key"))}, "b": {tokens("key")}})
	w.generate(Request{})
	value := w.get("a", "token/key")
	w.set(of(func() *genT { return shared(tokens("key")) }, "a", "b"))
	p := w.plan(Request{})
	if len(p.Rewraps) != 1 || len(p.Notes) != 1 || !strings.HasPrefix(p.Notes[0], "b has values of its own of token, which those that are shared take the place of") {
		t.Errorf("plan:\n%s", p)
	}
	w.generate(Request{})
	if got := w.get("b", "token/key"); got != value {
		t.Errorf("got %q, want %q", got, value)
	}
	if w.getOwn("b", "key", true) == value {
		t.Error("the value of b is lost")
	}
	audit, err := w.fleet.Audit(t.Context(), true)
	if err != nil || len(audit.Findings) != 1 || audit.Findings[0].Mend != "run `git rm sops/machines/b/secrets/token/key`" {
		t.Errorf("audit: %v, %v", audit, err)
	}
}

// What has been public is not secret any more; what is secret becomes public only
// when that was said.
func TestSecretToggled(t *testing.T) {
	layouts(t, func(t *testing.T, w *world) {
		w.set(of(func() *genT { return tokens("key") }, "a"))
		w.generate(Request{})
		value, before := w.get("a", "token/key"), w.snapshot()

		w.set(of(func() *genT { return tokens("key:public") }, "a"))
		_, err := w.run(Request{})
		if err == nil || !strings.Contains(err.Error(), "generator token on a: key was secret and is to be public; `--publish token` writes it in plain into the repository") {
			t.Errorf("got %v", err)
		}
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("something changed:\n%s", diff)
		}
		if p := w.plan(Request{Publish: []string{"token"}}); len(p.Moves) != 1 || !slices.Equal(p.Moves[0].Publishes, []string{"key"}) || !strings.Contains(p.String(), "PUBLISHES key") {
			t.Errorf("plan:\n%s", p)
		}
		w.generate(Request{Publish: []string{"token"}})
		if got := w.get("a", "token/key"); got != value {
			t.Errorf("got %q, want %q", got, value)
		}
		w.sound()

		published := w.snapshot()
		w.set(of(func() *genT { return tokens("key") }, "a"))
		for _, req := range []Request{{}, {Publish: []string{"token"}}, {Keep: []string{"token"}}} {
			_, err = w.run(req)
			if err == nil || !strings.Contains(err.Error(), "generator token on a: key is to be secret, but ") || !strings.Contains(err.Error(), "holds it in plain, so that everybody who has the repository knows it; `--regenerate token` makes new values") {
				t.Errorf("got %v", err)
			}
		}
		if diff := cmp.Diff(published, w.snapshot()); diff != "" {
			t.Errorf("something changed:\n%s", diff)
		}
		w.generate(Request{Regenerate: []string{"token"}})
		if w.get("a", "token/key") == value {
			t.Error("the value that everybody knows is still in use")
		}
		if refs, err := w.fleet.Layout.List(); err != nil || len(refs) != 1 {
			t.Errorf("there are %v, %v", refs, err)
		}
		w.sound()
	})
}

// Made anew at the new place, the old values go too.
func TestRegenerateElsewhere(t *testing.T) {
	w := newWorld(t, of(func() *genT { return valid(tokens("key"), "old") }, "a", "b"))
	w.generate(Request{})
	w.set(of(func() *genT { return valid(shared(tokens("key")), "new") }, "a", "b"))
	p := w.plan(Request{Regenerate: []string{"token"}})
	if len(p.Moves) > 0 || len(p.Removes) != 4 || len(p.Steps) != 1 || !slices.Equal(p.Steps[0].Replaces, []string{"key"}) {
		t.Errorf("plan:\n%s", p)
	}
	w.generate(Request{Regenerate: []string{"token"}})
	if refs, err := w.fleet.Layout.List(); err != nil || len(refs) != 1 {
		t.Errorf("there are %v, %v", refs, err)
	}
	w.sound()
}

// A value moves and a file is added in one go; what reads both finds them.
func TestMoveAndKeep(t *testing.T) {
	old := func() *genT { return asks(tokens("key"), "word", true) }
	w := newWorld(t, of(old, "a"))
	w.opts.Sources.Answers = Answers{"a": {"token": {"word": "spoken"}}}
	w.generate(Request{})
	w.opts.Sources.Answers = nil
	value := w.get("a", "token/key")

	reader := needs(gen("reader", `cat $in/token/key $in/token/word > $out/r; [ -s $in/token/more ]`, "r"), "token")
	w.set(map[string][]*genT{"a": {shared(asks(tokens("key", "more"), "word", true)), reader}})
	if _, err := w.run(Request{}); err == nil || !strings.Contains(err.Error(), "more is missing while key, word exist; `--keep token` makes only more") {
		t.Errorf("got %v", err)
	}
	w.generate(Request{Keep: []string{"token"}})
	if got := w.get("a", "reader/r"); got != value+"spoken" {
		t.Errorf("the reader has %q", got)
	}
	if got := w.get("a", "token/key"); got != value {
		t.Errorf("got %q, want %q", got, value)
	}
	w.sound()
}
