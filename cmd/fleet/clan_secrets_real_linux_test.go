package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/secrets"
)

// TestRealClanSecrets does the same with secrets and keys to two copies of one
// fleet, to one with clan's own program and to the other with fleet. After each
// step the copies have the same files, links and readers.
func TestRealClanSecrets(t *testing.T) {
	module, err := os.ReadFile("testdata/clan/fleet.nix")
	if err != nil {
		t.Fatal(err)
	}
	healthy, _, _ := strings.Cut(string(module), "    failing = {")
	theirs := newRealClan(t, healthy+"  };\n}\n")
	if theirs == nil {
		return
	}
	if theirs.clan == "" {
		t.Log("FLEET_CLAN is not set: clan's program was not asked")
		return
	}
	theirs.fleet(0, "vars", "generate", "web", "db")
	bob, _, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := secrets.FormatKeys([]secrets.Key{{PublicKey: bob, Type: "age"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(theirs.dir, "sops/users/bob/key.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, key, 0o644); err != nil {
		t.Fatal(err)
	}
	second, _, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	theirs.commit()
	ours := *theirs
	ours.dir = filepath.Join(t.TempDir(), "fleet")
	theirs.run("cp", "-a", theirs.dir, ours.dir)

	for _, step := range []struct{ clan, fleet, input string }{
		{"secrets set token", "vars secrets set token", "one\n"},
		{"secrets set both --machine web --machine db --user bob", "vars secrets set both --machine web --machine db --user bob", "two"},
		{"secrets groups add-user ops bob", "vars keys add bob --group ops", ""},
		{"secrets groups add-secret ops token", "vars secrets grant token --group ops", ""},
		{"secrets machines add-secret web token", "vars secrets grant token --machine web", ""},
		{"secrets users add-secret bob token", "vars secrets grant token --user bob", ""},
		{"secrets groups add-machine ops db", "vars keys add db --machine --group ops", ""},
		{"secrets set token --machine db", "vars secrets set token --machine db", "other\x00"},
		{"secrets users add-key bob --age-key " + second, "vars keys add bob " + second, ""},
		{"secrets users remove-key bob --age-key " + second, "vars keys remove bob --key " + second, ""},
		{"secrets groups remove-machine ops db", "vars keys remove db --machine --group ops", ""},
		{"secrets users remove-secret bob token", "vars secrets revoke token --user bob", ""},
		{"secrets groups remove-secret ops token", "vars secrets revoke token --group ops", ""},
		{"secrets machines remove-secret db token", "vars secrets revoke token --machine db", ""},
		{"secrets rename token cloud.token", "vars secrets rename token cloud.token", ""},
		{"secrets remove both", "vars secrets remove both --yes", ""},
		{"secrets users remove bob", "vars keys remove bob", ""},
	} {
		theirs.input, ours.input = step.input, step.input
		theirs.program(0, strings.Fields(step.clan)...)
		ours.fleet(0, strings.Fields(step.fleet)...)
		if diff := cmp.Diff(theirs.readers(), ours.readers()); diff != "" {
			t.Errorf("clan %s, fleet %s (-clan +fleet):\n%s", step.clan, step.fleet, diff)
		}
	}

	// Each reads what the other wrote, and lists it in the same lines.
	for _, r := range []*realClan{theirs, &ours} {
		for _, command := range [][2][]string{
			{{"secrets", "get", "cloud.token"}, {"vars", "secrets", "get", "cloud.token"}},
			{{"vars", "get", "web", "token/secret"}, {"vars", "get", "web", "token/secret"}},
		} {
			if a, b := r.program(0, command[0]...), r.fleet(0, command[1]...); a != b {
				t.Errorf("%s is %q for clan and %q for fleet", command[0], a, b)
			}
		}
		for clan, fleet := range map[string]string{
			"secrets list": "vars secrets list --names", "machines list": "machines list --names", "vars list web": "vars list web --plain",
		} {
			a, b := r.output(r.clan, append(strings.Fields(clan), "--flake", r.dir)...), r.output("fleet", append(strings.Fields(fleet), "--flake", r.dir)...)
			if diff := cmp.Diff(a, b); diff != "" {
				t.Errorf("clan %s, fleet %s (-clan +fleet):\n%s", clan, fleet, diff)
			}
		}
		r.fleet(0, "vars", "check", "web", "db")
		r.program(0, "vars", "check", "web")
	}
}

// readers are all files and links of values and keys: where a link leads, who
// reads a secret, and what is in everything else.
func (r *realClan) readers() map[string]string {
	r.t.Helper()
	found := map[string]string{}
	for _, folder := range []string{"vars", "sops"} {
		err := filepath.WalkDir(filepath.Join(r.dir, folder), func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name := strings.TrimPrefix(file, r.dir+"/")
			if entry.Type()&fs.ModeSymlink != 0 {
				found[name], err = os.Readlink(file)
				return err
			}
			data, err := os.ReadFile(file)
			found[name] = string(data)
			if entry.Name() == "secret" && err == nil {
				recipients, err := secrets.EnvelopeRecipients(data)
				found[name] = strings.Join(recipients, " ")
				return err
			}
			return err
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return found
}
