package secrets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/repository"
)

// newRepository is a native layout in a temporary directory, with administrators.
func newRepository(t testing.TB, admins ...string) (*Native, string) {
	t.Helper()
	dir := t.TempDir()
	layout, err := OpenNative(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layout.Close() })
	for i, public := range admins {
		files, err := AddUserKey(layout, string(rune('a'+i)), public)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, dir, files)
	}
	return layout, dir
}

// apply puts files in place, which is the work of package repository.
func apply(t testing.TB, dir string, files []repository.File) {
	t.Helper()
	for _, file := range files {
		path := filepath.Join(dir, filepath.FromSlash(file.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		var err error
		switch {
		case file.Gone:
		case file.Link != "":
			err = os.Symlink(file.Link, path)
		default:
			err = os.WriteFile(path, file.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNativePaths(t *testing.T) {
	layout, _ := newRepository(t)
	for _, test := range []struct {
		ref  Ref
		want string
	}{
		{Ref{"cinnabar", "ssh-host-key", "id_ed25519", true}, "sops/machines/cinnabar/secrets/ssh-host-key/id_ed25519"},
		{Ref{"cinnabar", "ssh-host-key", "id_ed25519.pub", false}, "sops/machines/cinnabar/facts/ssh-host-key/id_ed25519.pub"},
		{Ref{"", "ca", "secret", true}, "sops/shared/secrets/ca/secret"},
		{Ref{"", "ca", "cert", false}, "sops/shared/facts/ca/cert"},
	} {
		got, err := layout.Path(test.ref)
		if err != nil || got != test.want {
			t.Errorf("%s: %s instead of %s (%v)", test.ref, got, test.want, err)
		}
	}
	own, err := layout.HashPath("cinnabar", "ssh-host-key")
	if err != nil || own != "sops/machines/cinnabar/facts/ssh-host-key/.validation-hash" {
		t.Errorf("%s (%v)", own, err)
	}
	shared, err := layout.HashPath("", "ca")
	if err != nil || shared != "sops/shared/facts/ca/.validation-hash" {
		t.Errorf("%s (%v)", shared, err)
	}
}

func TestHostileNames(t *testing.T) {
	layout, _ := newRepository(t)
	long := strings.Repeat("x", 200)
	for _, name := range []string{
		"", ".", "..", "../x", "a/b", "/etc/passwd", "a/../../b", `a\b`, ".git", ".validation-hash", "a\x00b", "a\nb",
		"a b", "-rf", "a..b", "é", "a:b", "a*", "$HOME", "~", long,
	} {
		machine := name
		if machine == "" {
			machine = ".." // empty means shared
		}
		for kind, err := range map[string]error{
			"machine":      second(layout.Path(Ref{machine, "g", "f", true})),
			"generator":    second(layout.Path(Ref{"m", name, "f", true})),
			"file":         second(layout.Path(Ref{"m", "g", name, false})),
			"hash":         second(layout.HashPath(machine, name)),
			"exists":       second(layout.Exists(Ref{"m", "g", name, true})),
			"read":         second(layout.Read(Ref{"m", "g", name, true})),
			"key":          second(layout.MachineKeyPath(name)),
			"private key":  second(layout.Path(KeyRef(name))),
			"user":         second(layout.UserKeyPath(name)),
			"machine read": second(layout.Machine(name)),
		} {
			if nameError := (*NameError)(nil); !errors.As(err, &nameError) {
				t.Errorf("%s %q: %v", kind, name, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestLinksThatLeadOut(t *testing.T) {
	outside := t.TempDir()
	put(t, outside, "g/f", "not yours", 0o644)
	layout, dir := newRepository(t)
	facts := filepath.Join(dir, "sops/machines/m/facts")
	if err := os.MkdirAll(filepath.Dir(facts), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, facts); err != nil {
		t.Fatal(err)
	}
	ref := Ref{"m", "g", "f", false}
	if data, err := layout.Read(ref); err == nil {
		t.Errorf("read %q", data)
	}
	if exists, err := layout.Exists(ref); exists || err == nil {
		t.Errorf("it exists: %v (%v)", exists, err)
	}
	if _, err := layout.Hash("m", "g"); err == nil {
		t.Error("a hash was read")
	}
}

func TestNativeList(t *testing.T) {
	layout, dir := newRepository(t, aliceKey)
	if refs, err := layout.List(); err != nil || len(refs) != 0 {
		t.Errorf("a new repository holds %v (%v)", refs, err)
	}
	want := []Ref{
		{"", "ca", "cert", false},
		{"", "ca", "key", true},
		{"argentum", "wifi", "psk", true},
		{"cinnabar", "ssh", "id", true},
		{"cinnabar", "ssh", "id.pub", false},
	}
	for _, ref := range want {
		path, err := layout.Path(ref)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, dir, []repository.File{{Path: path}})
	}
	for _, junk := range []string{
		"sops/machines/cinnabar/facts/ssh/.validation-hash", "sops/machines/cinnabar/facts/.DS_Store", "sops/machines/cinnabar/key.json",
		"sops/machines/.gitkeep", "sops/shared/secrets/ca/folder/file", "sops/shared/README", "sops/machines/README",
	} {
		put(t, dir, junk, "", 0o644)
	}
	if err := os.Symlink("../../nowhere", filepath.Join(dir, "sops/machines/dangling")); err != nil {
		t.Fatal(err)
	}
	got, err := layout.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, ref := range want {
		if exists, err := layout.Exists(ref); !exists || err != nil {
			t.Errorf("%s: %v, %v", ref, exists, err)
		}
	}
	for _, ref := range []Ref{{"", "ca", "folder", true}, {"", "ca", "absent", true}, {"argentum", "ca", "key", true}, {"README", "ca", "key", true}} {
		if exists, _ := layout.Exists(ref); exists {
			t.Errorf("%s exists", ref)
		}
	}
}

func TestNativeHash(t *testing.T) {
	layout, dir := newRepository(t)
	if hash, err := layout.Hash("m", "g"); hash != "" || err != nil {
		t.Errorf("%q, %v", hash, err)
	}
	put(t, dir, "sops/machines/m/facts/g/.validation-hash", "b4efca7b\n", 0o644)
	if hash, err := layout.Hash("m", "g"); hash != "b4efca7b" || err != nil {
		t.Errorf("%q, %v", hash, err)
	}
}

func TestWanted(t *testing.T) {
	alice, bob, recovery, first, second := newKeyPair(t), newKeyPair(t), newKeyPair(t), newKeyPair(t), newKeyPair(t)
	layout, dir := newRepository(t, alice.public, bob.public)
	holder := func(name string, key keyPair) Holder { return Holder{Name: name, Keys: []Key{{key.public, "age"}}} }
	both := []Holder{holder("first", first), holder("second", second)}
	check := func(ref Ref, machines []Holder, want ...keyPair) {
		t.Helper()
		got, err := layout.Wanted(ref, machines)
		if err != nil {
			t.Fatal(err)
		}
		var public []string
		for _, key := range want {
			public = append(public, key.public)
		}
		slices.Sort(public)
		if diff := cmp.Diff(public, got); diff != "" {
			t.Error(diff)
		}
	}
	check(Ref{"first", "g", "f", true}, both[:1], alice, bob, first)
	check(Ref{"first", "g", "f", true}, nil, alice, bob)
	check(Ref{"", "g", "f", true}, both, alice, bob, first, second)

	put(t, dir, "sops/recovery/key.json", recovery.public+"\n", 0o644)
	check(Ref{"", "g", "f", true}, both, alice, bob, first, second, recovery)
	check(Ref{"", "g", "f", true}, nil, alice, bob, recovery)

	if _, err := layout.Wanted(Ref{"first", "g", "f", true}, both); err == nil {
		t.Error("a machine's own secret was given to another one")
	}
	if _, err := layout.Wanted(Ref{"", "g", "f", true}, []Holder{{Name: "first"}}); err == nil {
		t.Error("a machine without a key was left out")
	}
	put(t, dir, "sops/users/carol/key.json", `[{"publickey": "0123ABCD", "type": "pgp"}]`, 0o644)
	if _, err := layout.Wanted(Ref{"", "g", "f", true}, nil); err == nil || !strings.Contains(err.Error(), "carol") {
		t.Errorf("an administrator with a PGP key was left out: %v", err)
	}
}

func TestNoAdmin(t *testing.T) {
	layout, _ := newRepository(t)
	if _, err := layout.Wanted(Ref{"", "g", "f", true}, nil); !errors.Is(err, ErrNoAdmin) {
		t.Errorf("error: %v", err)
	}
	if _, _, err := EnsureMachineKey(t.Context(), layout, "m", testTime); !errors.Is(err, ErrNoAdmin) {
		t.Errorf("error: %v", err)
	}
}

func TestBrokenUser(t *testing.T) {
	for name, content := range map[string]string{"no JSON": "[", "empty": "", "absent": "-"} {
		layout, dir := newRepository(t, aliceKey)
		if name == "absent" {
			put(t, dir, "sops/users/bob/README", "", 0o644)
		} else {
			put(t, dir, "sops/users/bob/key.json", content, 0o644)
		}
		if _, err := layout.AdminRecipients(); err == nil || !strings.Contains(err.Error(), "sops/users/bob/key.json") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddUserKey(t *testing.T) {
	layout, dir := newRepository(t)
	steps := []struct {
		key  string
		want int
	}{{aliceKey, 1}, {aliceKey, 0}, {sshKey + " me@example", 1}, {sshKey + " me@elsewhere", 0}}
	for _, step := range steps {
		files, err := AddUserKey(layout, "alice", step.key)
		if err != nil || len(files) != step.want {
			t.Fatalf("%s: %d files (%v)", step.key, len(files), err)
		}
		apply(t, dir, files)
	}
	users, err := layout.Users()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Holder{{"alice", []Key{{aliceKey, "age"}, {sshKey, "age"}}}}, users); diff != "" {
		t.Error(diff)
	}
	if _, err := AddUserKey(layout, "alice", "age1nonsense"); err == nil {
		t.Error("a broken key was added")
	}
}

func TestSealOpen(t *testing.T) {
	admin, first, second := newKeyPair(t), newKeyPair(t), newKeyPair(t)
	layout, dir := newRepository(t, admin.public)
	machines := []Holder{{"first", []Key{{first.public, "age"}}}, {"second", []Key{{second.public, "age"}}}}
	ref, public := Ref{"", "ca", "key", true}, Ref{"", "ca", "cert", false}

	for _, ref := range []Ref{ref, public} {
		if _, err := Open(t.Context(), layout, ref, admin.ids); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", ref, err)
		}
		files, err := Seal(t.Context(), layout, ref, []byte("value"), machines[:1], testTime)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, dir, files)
		if got, err := Open(t.Context(), layout, ref, first.ids); err != nil || string(got) != "value" {
			t.Errorf("%s: %q, %v", ref, got, err)
		}
	}
	if raw, err := layout.Read(public); err != nil || string(raw) != "value" {
		t.Errorf("the public value is %q (%v)", raw, err)
	}
	_, err := Open(t.Context(), layout, ref, second.ids)
	if err == nil || !strings.Contains(err.Error(), "sops/shared/secrets/ca/key") {
		t.Errorf("error: %v", err)
	}
}
