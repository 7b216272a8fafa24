package secrets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSurvey(t *testing.T) {
	layout, dir := newRepository(t)
	s, err := layout.Survey()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Survey{Risk: s.Risk}, s); diff != "" || !strings.Contains(s.Risk, "no recovery key") {
		t.Errorf("of nothing (-want +got):\n%s", diff)
	}
	put(t, dir, "sops/users/alice/key.json", aliceKey, 0o644)
	put(t, dir, "sops/users/bob/key.json", "{", 0o644)
	put(t, dir, "sops/users/carol/key.json", `[{"publickey":"A0B1","type":"pgp"}]`, 0o644)
	put(t, dir, "sops/users/dave/note", "", 0o644)
	put(t, dir, "sops/machines/cinnabar/facts/g/.validation-hash", "1", 0o644)
	put(t, dir, "sops/machines/cinnabar/facts/g/.f.fleet-new", "1", 0o644)
	put(t, dir, "sops/machines/galena/key.json", "", 0o644)
	put(t, dir, "sops/keys/gcp-vm", "{}", 0o644)
	put(t, dir, "sops/recovery/key.json", aliceKey, 0o644)
	for link, target := range map[string]string{
		"inside": "cinnabar", "nowhere": "none", "outside": "/etc", "self": "self",
	} {
		if err := os.Symlink(target, filepath.Join(dir, "sops/machines", link)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = layout.Survey(); err != nil {
		t.Fatal(err)
	}
	var damaged []string
	for _, d := range s.Damaged {
		damaged = append(damaged, d.Path+": "+d.Err.Error())
	}
	if diff := cmp.Diff([]string{
		"sops/machines/galena/key.json: no key in it",
		"sops/users/bob/key.json: not a list of keys: unexpected end of JSON input",
		"sops/users/carol/key.json: its owner has a pgp key, and fleet encrypts to age keys only: replace it in its key.json",
		"sops/users/dave/key.json: it is missing",
	}, damaged); diff != "" {
		t.Errorf("damaged (-want +got):\n%s", diff)
	}
	s.Damaged = nil
	if diff := cmp.Diff(&Survey{
		Machines: []string{"cinnabar", "galena", "gcp-vm", "inside"},
		Dangling: []string{"sops/machines/nowhere", "sops/machines/outside", "sops/machines/self"},
		Hidden:   []string{"sops/machines/cinnabar/facts/g/.f.fleet-new"},
	}, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
