package vars

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// Files that other versions of sops have written, with comments of theirs and keys
// of other kinds, are values like any other: no command rewrites one of which
// nothing changes.
func TestForeignEnvelopesAreLeftAlone(t *testing.T) {
	const folder = "../secrets/testdata/envelopes"
	private, err := os.ReadFile(folder + "/key.txt")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	// Some are for one administrator, some for two.
	fleets := map[string]map[string]string{} // recipients → name → envelope
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".sops")
		if !ok {
			continue
		}
		data, err := os.ReadFile(path.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		recipients, err := secrets.EnvelopeRecipients(data)
		if err != nil {
			t.Fatal(err)
		}
		key := strings.Join(recipients, " ")
		if fleets[key] == nil {
			fleets[key] = map[string]string{}
		}
		fleets[key][name] = string(data)
	}
	if len(fleets) != 2 {
		t.Fatalf("they are for %d groups of people", len(fleets))
	}
	for recipients, envelopes := range fleets {
		w := newWorld(t, nil)
		w.fleet.Identities = identities(t, private)
		if err := os.RemoveAll(path.Join(w.root, "sops/users")); err != nil {
			t.Fatal(err)
		}
		for _, key := range strings.Fields(recipients) {
			w.admin("user-"+key[len(key)-4:], key)
		}
		g := gen("g", "")
		for name, envelope := range envelopes {
			g.Files[name] = &flake.File{Name: name, Secret: true}
			w.write("sops/machines/web/secrets/g/"+name, envelope)
		}
		w.set(one(g))
		before := w.snapshot()
		if p := w.plan(Request{}); !p.Empty() {
			t.Errorf("the plan is not empty:\n%s", p)
		}
		w.generate(Request{})
		w.fix(FixOptions{})
		w.sound()
		for name := range envelopes {
			if got := w.get("web", "g/"+name); got != "hunter2\n" && got != "" {
				t.Errorf("%s holds %q", name, got)
			}
		}
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("something changed:\n%s", diff)
		}
	}
}
