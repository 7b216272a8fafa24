package vars

import (
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/flake"
)

// A neighbour that is not selected may be as broken as it likes: its keys and
// values are neither looked at nor touched.
func TestBrokenNeighbour(t *testing.T) {
	own := func() *genT { return gen("own", `echo own > $out/f`, "f") }
	common := func() *genT { return shared(tokens("key")) }
	w := newWorld(t, map[string][]*genT{"a": {own(), common()}, "b": {own(), common()}})
	w.generate(Request{})
	value := w.get("a", "token/key")
	for _, name := range []string{"machines/b/key.json", "keys/b", "machines/b/secrets/own/f", "machines/b/secrets/own/g"} {
		w.write("sops/"+name, "broken")
	}
	// What it declares is not known any more, be it another definition of what is shared.
	w.set(map[string][]*genT{"a": {own(), common(), gen("more", `echo more > $out/f`, "f")}, "b": {}})
	delete(w.fleet.Machines, "b")
	before := w.snapshot()

	p := w.plan(Request{})
	if len(p.Steps) != 1 || len(p.Rewraps)+len(p.Notes)+len(p.Refused) > 0 {
		t.Errorf("plan:\n%s", p)
	}
	report := w.generate(Request{})
	if got := strings.Join(report.Paths, " "); got != "sops/machines/a/secrets/more/f" {
		t.Errorf("written: %s", got)
	}
	w.generate(Request{Regenerate: []string{"own"}})
	after := w.snapshot()
	for name, data := range before {
		if after[name] != data && name != "sops/machines/a/secrets/own/f" {
			t.Errorf("%s was touched", name)
		}
	}
	if _, err := w.fleet.List(t.Context()); err != nil {
		t.Error(err)
	}

	// Only what it shares cannot be made anew: nobody knows its key.
	_, err := w.run(Request{Regenerate: []string{"token"}})
	if err == nil || !strings.Contains(err.Error(), "nothing was changed: who else is to read shared/token/key is not known: machine b: ") {
		t.Errorf("got %v", err)
	}
	if got := w.get("a", "token/key"); got != value {
		t.Errorf("the shared value is %q, want %q", got, value)
	}
}

// Whom a neighbour's secrets are for is its own business, also when it is wrong.
func TestNeighbourOfWrongReaders(t *testing.T) {
	own := func() *genT { return gen("own", `echo own > $out/f`, "f") }
	w := newWorld(t, map[string][]*genT{"a": {own()}, "b": {own()}})
	w.generate(Request{})
	w.reseal("sops/machines/b/secrets/own/f", w.fleet.Identities.Recipients()...)
	a := w.fleet.Machines["a"]
	w.fleet.Machines = map[string]*flake.Details{"a": a}
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("plan:\n%s", p)
	}
}
