package vars

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// keyless is a repository without administrators, of somebody without a key.
func keyless(t *testing.T) (*world, KeysInitOptions) {
	t.Helper()
	w := newWorld(t, one(gen("a", `echo secret > $out/f`, "f")))
	if err := os.RemoveAll(filepath.Join(w.root, "sops")); err != nil {
		t.Fatal(err)
	}
	w.fleet.Identities = &secrets.Identities{}
	return w, KeysInitOptions{IdentityFile: filepath.Join(t.TempDir(), "sops/age/keys.txt"), User: "Ada.L"}
}

func TestKeysInit(t *testing.T) {
	w, opts := keyless(t)
	first, err := w.fleet.KeysInit(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if first.User != "ada_l" || first.IdentityFile != opts.IdentityFile || first.Path != "sops/users/ada_l/key.json" {
		t.Errorf("got %+v", first)
	}
	for path, want := range map[string]os.FileMode{opts.IdentityFile: 0o600, filepath.Dir(opts.IdentityFile): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if got := w.git("diff", "--cached", "--name-only"); got != "sops/users/ada_l/key.json\n" {
		t.Errorf("git knows of %q", got)
	}

	// With the new key everything works, and a second time changes nothing.
	data, err := os.ReadFile(opts.IdentityFile)
	if err != nil {
		t.Fatal(err)
	}
	w.fleet.Identities = identities(t, data)
	w.generate(Request{})
	if got := w.get("web", "a/f"); got != "secret\n" {
		t.Errorf("got %q", got)
	}
	again, err := w.fleet.KeysInit(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if again.PublicKey != first.PublicKey || again.User != "ada_l" || again.IdentityFile != "" || again.Path != "" {
		t.Errorf("got %+v", again)
	}
	if now, _ := os.ReadFile(opts.IdentityFile); string(now) != string(data) {
		t.Error("the identity file changed")
	}
}

func TestKeysInitKeepsWhatIsThere(t *testing.T) {
	w, opts := keyless(t)
	if err := os.MkdirAll(filepath.Dir(opts.IdentityFile), 0o755); err != nil {
		t.Fatal(err)
	}
	// Somebody else's comment without a final newline.
	if err := os.WriteFile(opts.IdentityFile, []byte("# mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.fleet.KeysInit(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(opts.IdentityFile)
	if !strings.HasPrefix(string(data), "# mine\n# public key: age1") {
		t.Errorf("the file: %.40q", data)
	}

	// A key that is there already is used, in a repository of others too.
	w.fleet.Identities = identities(t, data)
	other, otherOpts := keyless(t)
	other.fleet.Identities = w.fleet.Identities
	report, err := other.fleet.KeysInit(t.Context(), otherOpts)
	if err != nil || report.IdentityFile != "" || report.PublicKey != w.fleet.Identities.Recipients()[0] {
		t.Errorf("got %+v, %v", report, err)
	}
	if _, err := os.Stat(otherOpts.IdentityFile); err == nil {
		t.Error("a second key was made")
	}
}

func TestUserName(t *testing.T) {
	for name, want := range map[string]string{
		"ada": "ada", "": "admin", "Jané Q": "jan__q", "1st": "_1st", "-x": "_-x", "DOMAIN\\user": "domain_user", "../../x": "______x",
		strings.Repeat("a", 40): strings.Repeat("a", 32),
	} {
		if got := userName(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestForeignKeyIsNoted(t *testing.T) {
	w := newWorld(t, one(gen("a", `echo > $out/f`, "f")))
	_, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	w.fleet.Identities = identities(t, private)
	if p := w.plan(Request{}); len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "none of your keys is among those of the administrators") {
		t.Errorf("notes: %v", p.Notes)
	}
}

// A machine that cannot get a key fails alone.
func TestMachineKeyCannotBeMade(t *testing.T) {
	w := newWorld(t, map[string][]*flake.Generator{"a": {gen("x", `echo > $out/f`, "f")}, "b": {gen("x", `echo > $out/f`, "f")}})
	w.write("sops/keys/a", "{}")
	_, err := w.run(Request{})
	if err == nil || !strings.Contains(err.Error(), "machine a has a private key in sops/keys/a but no sops/machines/a/key.json") {
		t.Errorf("got %v", err)
	}
	w.get("b", "x/f")
	if _, err := w.fleet.Get(t.Context(), "a", "x/f"); err == nil {
		t.Error("a value of a machine without a key was made")
	}
}
