package vars

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/secrets"
)

func (w *world) audit(whole bool) (findings, notes string) {
	w.t.Helper()
	a, err := w.fleet.Audit(w.t.Context(), whole)
	if err != nil {
		w.t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range a.Findings {
		text.WriteString(f.String() + "\n")
	}
	return text.String(), strings.Join(a.Notes, "\n")
}

// keyJSON writes a key.json with a new public key.
func (w *world) keyJSON(name string) (public string) {
	w.t.Helper()
	public, _, err := secrets.NewAgeKey()
	if err != nil {
		w.t.Fatal(err)
	}
	data, err := secrets.FormatKeys([]secrets.Key{{PublicKey: public, Type: "age"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(name, string(data))
	return public
}

func (w *world) link(target, name string) {
	w.t.Helper()
	path := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) move(from, to string) {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.root, from))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(to, string(data))
	w.remove(from)
}

// drifting is a fleet with a value of every kind.
func drifting(t *testing.T) *world {
	w := newWorld(t, map[string][]*genT{
		"cinnabar": {
			gen("root-password", `echo canary > $out/hash; echo public > $out/name`, "hash", "name:public"),
			gen("clawdbot-token", `echo token > $out/t`, "t"), // of a service of another name
			shared(gen("ca", `echo ca > $out/key; echo pub > $out/pub`, "key:local", "pub:public")),
			shared(gen("wifi", `echo wifi > $out/psk`, "psk")),
		},
		"electrum": {
			valid(gen("zfs", `echo zfs > $out/key`, "key"), "1"),
			shared(gen("ca", `echo ca > $out/key; echo pub > $out/pub`, "key:local", "pub:public")),
			shared(gen("wifi", `echo wifi > $out/psk`, "psk")),
		},
	})
	w.keyJSON("sops/recovery/key.json")
	w.generate(Request{})
	return w
}

// The cases of a real repository (research/user-repo.md 3.13), and others.
func TestAudit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(w *world)
		want   []string // findings; none means that there are none
		notes  []string
	}{
		{name: "well", damage: func(*world) {}},
		{
			name: "a machine that is not in the inventory",
			damage: func(w *world) {
				w.keyJSON("sops/machines/gcp-vm/key.json")
				w.write("sops/keys/gcp-vm", "{}")
				w.write("sops/machines/gcp-vm/facts/a/b", "x")
			},
			want: []string{"gcp-vm: it is not in the inventory, but has keys or values; run `git rm -r sops/machines/gcp-vm sops/keys/gcp-vm`, then `fleet vars fix`\n"},
		},
		{
			name:   "a dangling link",
			damage: func(w *world) { w.link("../nowhere", "sops/machines/electrum/electrum") },
			want:   []string{"sops/machines/electrum/electrum: it is a link that leads to nothing in the repository; run `git rm sops/machines/electrum/electrum`"},
		},
		{
			name:   "two administrators with one key",
			damage: func(w *world) { w.admin("crs58", w.fleet.Identities.Recipients()[0]) },
			notes:  []string{"administrators alice and crs58 have one and the same key"},
		},
		{
			name:   "a machine without a key",
			damage: func(w *world) { w.remove("sops/machines/electrum/key.json") },
			want:   []string{"electrum: it has no key", "electrum/zfs/key: it cannot be read by machine electrum"},
		},
		{
			name:   "a key.json that does not fit the private key",
			damage: func(w *world) { w.keyJSON("sops/machines/electrum/key.json") },
			want:   []string{"electrum: the keys of machine electrum do not belong together"},
		},
		{
			name:   "no recovery key",
			damage: func(w *world) { w.remove("sops/recovery") },
			want:   []string{"electrum/zfs/key: it can also be read by the unknown key age1", "electrum: its private key can also be read by the unknown key age1"},
			notes:  []string{"there is no recovery key"},
		},
		{
			name: "a generator that is gone", // that of the clawdbot is not, whatever its service is called
			damage: func(w *world) {
				delete(w.fleet.Machines["electrum"].Generators, "zfs")
				for _, m := range w.fleet.Machines {
					delete(m.Generators, "ca")
				}
			},
			want: []string{
				"electrum/zfs: its generator is not declared any more; run `git rm -r sops/machines/electrum/facts/zfs sops/machines/electrum/secrets/zfs`\n",
				"shared/ca: its generator is not declared any more; run `git rm -r sops/shared/facts/ca sops/shared/secrets/ca`\n",
			},
		},
		{
			name:   "a file that is not declared any more",
			damage: func(w *world) { delete(w.fleet.Machines["cinnabar"].Generators["root-password"].Files, "name") },
			want:   []string{"cinnabar/root-password/name: its generator does not declare this file any more; run `git rm sops/machines/cinnabar/facts/root-password/name`\n"},
		},
		{
			name: "a machine that does not evaluate",
			damage: func(w *world) {
				delete(w.fleet.Machines, "electrum")
				for _, m := range w.fleet.Machines {
					delete(m.Generators, "ca")
				}
			},
			notes: []string{"not looked for where electrum may declare them"},
		},
		{
			name:   "a public value that is declared as secret",
			damage: func(w *world) { w.fleet.Machines["cinnabar"].Generators["root-password"].Files["name"].Secret = true },
			want: []string{
				"cinnabar/root-password/name: it is declared as secret, and lies here in plain",
				"--regenerate root-password`",
			},
		},
		{
			name: "share was changed, and the value is the only copy",
			damage: func(w *world) {
				w.fleet.Machines["electrum"].Generators["zfs"].Share = true
			},
			want: []string{"electrum/zfs/key: its generator's share was changed since it was made; run `fleet vars generate electrum`, which moves it"},
		},
		{
			name:   "plaintext in the place of a secret",
			damage: func(w *world) { w.write("sops/machines/cinnabar/secrets/root-password/hash", "canary") },
			want:   []string{"cinnabar/root-password/hash: cinnabar/root-password/hash: not a sops file, so it may lie there in plain; restore it from git"},
		},
		{
			name: "a secret in the place of a public value",
			damage: func(w *world) {
				w.move("sops/machines/cinnabar/secrets/root-password/hash", "sops/machines/cinnabar/facts/root-password/name")
			},
			want: []string{"cinnabar/root-password/name: it is declared as public, and what lies there is encrypted"},
		},
		{
			name:   "an administrator whose key.json is unreadable",
			damage: func(w *world) { w.write("sops/users/bob/key.json", "age1nonsense") },
			want:   []string{`sops/users/bob/key.json: "age1nonsense" is not a complete age public key`},
			notes:  []string{"who can read which value was not looked at"},
		},
		{
			name: "an administrator without key.json",
			damage: func(w *world) {
				if err := os.MkdirAll(filepath.Join(w.root, "sops/users/bob"), 0o755); err != nil {
					w.t.Fatal(err)
				}
			},
			want:  []string{"sops/users/bob/key.json: it is missing"},
			notes: []string{"who can read which value was not looked at"},
		},
		{
			name:   "a staged file without a journal",
			damage: func(w *world) { w.write("sops/machines/electrum/secrets/zfs/.key.fleet-new", "{}") },
			want:   []string{"sops/machines/electrum/secrets/zfs/.key.fleet-new: an interrupted run has left it; run `rm sops"},
		},
		{
			name: "a journal",
			damage: func(w *world) {
				w.write("sops/machines/electrum/secrets/zfs/.key.fleet-new", "{}")
				w.write(".git/fleet/journal.json", `{"phase": "staging", "files": [{"stage": "sops/machines/electrum/secrets/zfs/.key.fleet-new", "final": "sops/machines/electrum/secrets/zfs/key"}]}`)
			},
			want: []string{"a run that changes values was interrupted, or is still at it; run `fleet vars fix`"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := drifting(t)
			tt.damage(w)
			findings, notes := w.audit(true)
			if len(tt.want) == 0 && findings != "" || len(tt.notes) == 0 && notes != "" {
				t.Errorf("got:\n%s\nnotes: %s", findings, notes)
			}
			for _, want := range tt.want {
				if !strings.Contains(findings, want) {
					t.Errorf("got:\n%s\nwant %s", findings, want)
				}
			}
			for _, want := range tt.notes {
				if !strings.Contains(notes, want) {
					t.Errorf("notes:\n%s\nwant %s", notes, want)
				}
			}
			if strings.Contains(findings, "canary") || strings.Contains(findings, "clawdbot") && tt.name == "a generator that is gone" {
				t.Errorf("got:\n%s", findings)
			}
		})
	}
}

// Of some machines, nobody else's business is told.
func TestAuditOfSome(t *testing.T) {
	w := drifting(t)
	w.keyJSON("sops/machines/gcp-vm/key.json")
	w.link("../nowhere", "sops/machines/electrum/electrum")
	delete(w.fleet.Machines, "electrum")
	if findings, notes := w.audit(false); findings != "" || notes != "" {
		t.Errorf("got:\n%s\nnotes: %s", findings, notes)
	}
}
