package vars

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crs58/fleet/internal/secrets"
)

func TestList(t *testing.T) {
	w := newWorld(t, map[string][]*genT{
		"web": {gen("key", `echo > $out/k; echo > $out/p`, "k", "p:public"), shared(gen("ca", `echo > $out/c`, "c:local"))},
		"db":  {shared(gen("ca", `echo > $out/c`, "c:local")), valid(gen("old", `echo > $out/f`, "f"), "1")},
	})
	w.generate(Request{Generators: []string{"key", "old"}})
	w.fleet.Machines["db"].Generators["old"].ValidationHash = "2"
	public, _, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	w.admin("bob", public)
	rows, err := w.fleet.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lacks := []string{"administrator bob"}
	want := []Row{
		{Machine: "db", Generator: "ca", File: "c", Secret: true, Shared: true},
		{Machine: "db", Generator: "old", File: "f", Secret: true, Deploy: true, Present: true, Outdated: true, Lacks: lacks, Path: "/run/secrets/old.f"},
		{Machine: "web", Generator: "ca", File: "c", Secret: true, Shared: true},
		{Machine: "web", Generator: "key", File: "k", Secret: true, Deploy: true, Present: true, Lacks: lacks, Path: "/run/secrets/key.k"},
		{Machine: "web", Generator: "key", File: "p", Deploy: true, Present: true},
	}
	if diff := cmp.Diff(want, rows, cmpopts.IgnoreUnexported(Row{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := []string{rows[0].Readers(), rows[1].Readers(), rows[4].Readers()}; cmp.Diff([]string{"", "lacks administrator bob", ""}, got) != "" {
		t.Errorf("readers: %q", got)
	}
}

func TestGetErrors(t *testing.T) {
	w := newWorld(t, one(gen("ssh-key", "", "id_ed25519", "id_ed25519.pub:public")))
	for name, want := range map[string]string{
		"ssh-key":                `"ssh-key" does not name a value: write GENERATOR/FILE, did you mean ssh-key/id_ed25519`,
		"ssh_key/id_ed25519":     "web has no generator ssh_key, did you mean ssh-key?",
		"ssh-key/id_ed25519_pub": "generator ssh-key of web has no file id_ed25519_pub, did you mean id_ed25519.pub",
		"ssh-key/id_ed25519":     "web/ssh-key/id_ed25519 has no value yet: `fleet vars generate web` makes it",
	} {
		if _, err := w.fleet.Get(t.Context(), "web", name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v\nwant %s", name, err, want)
		}
	}
	if _, err := w.fleet.Get(t.Context(), "wep", "a/b"); err == nil || !strings.Contains(err.Error(), "there is no machine wep, did you mean web?") {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	machines := func() map[string][]*genT {
		return one(
			gen("a", `echo a > $out/f; echo > $out/p`, "f", "p:public"),
			gen("b", `echo b > $out/f`, "f"),
			valid(gen("c", `echo c > $out/f`, "f"), "1"),
		)
	}
	for _, tt := range []struct {
		name   string
		damage func(w *world)
		want   []string
	}{
		{"well", func(*world) {}, nil},
		{"without any key at hand", func(w *world) { w.fleet.Identities = &secrets.Identities{} }, nil},
		{"missing", func(w *world) { w.remove("sops/machines/web/facts/a/p") }, []string{"web/a/p: it has no value; run `fleet vars generate web`"}},
		{"outdated", func(w *world) { w.fleet.Machines["web"].Generators["c"].ValidationHash = "2" }, []string{"web/c/f: what it is made from (its validation) has changed; run `fleet vars generate web --regenerate c`"}},
		{"plaintext", func(w *world) { w.write("sops/machines/web/secrets/b/f", "canary") }, []string{"web/b/f: "}},
		{
			"changed ciphertext", func(w *world) {
				path := filepath.Join(w.root, "sops/machines/web/secrets/b/f")
				data, _ := os.ReadFile(path)
				i := strings.Index(string(data), "data:") + len("data:") // in ENC[AES256_GCM,data:
				data[i] ^= 1
				_ = os.WriteFile(path, data, 0o644)
			},
			[]string{"web/b/f: "},
		},
		{
			"key.json of another machine", func(w *world) {
				public, _, _ := secrets.NewAgeKey()
				data, _ := secrets.FormatKeys([]secrets.Key{{PublicKey: public, Type: "age"}})
				w.write("sops/machines/web/key.json", string(data))
			},
			[]string{"web: the keys of machine web do not belong together", "web/a/f: it cannot be read by machine web", "web/a/f: it can also be read by the unknown key age1"},
		},
		{"no machine key", func(w *world) { w.remove("sops/machines/web/key.json") }, []string{"web: it has no key", "web/a/f: it cannot be read by machine web"}},
		{
			"one too many", func(w *world) {
				public, _, _ := secrets.NewAgeKey()
				w.admin("mallory", public)
				w.generate(Request{})
				w.remove("sops/users/mallory")
			},
			[]string{"web/a/f: it can also be read by the unknown key age1", "if they should not know it, run `fleet vars generate web --regenerate a`"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, machines())
			w.generate(Request{})
			tt.damage(w)
			findings, err := w.fleet.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for _, f := range findings {
				text.WriteString(f.String() + "\n")
			}
			if len(tt.want) == 0 && len(findings) > 0 {
				t.Errorf("got:\n%s", text.String())
			}
			for _, want := range tt.want {
				if !strings.Contains(text.String(), want) {
					t.Errorf("got:\n%s\nwant %s", text.String(), want)
				}
			}
			if strings.Contains(text.String(), "canary") {
				t.Error("a finding shows the value")
			}
		})
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.RemoveAll(filepath.Join(w.root, name)); err != nil {
		w.t.Fatal(err)
	}
}
