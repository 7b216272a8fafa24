package deploy_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/testhost"
)

const keyFile = "/var/lib/sops-nix/key.txt"

// ageKeygen builds the program that hosts derive public keys with.
func ageKeygen(t *testing.T) []byte {
	t.Helper()
	program := filepath.Join(t.TempDir(), "age-keygen")
	cmd := exec.Command("go", "build", "-o", program, "filippo.io/age/cmd/age-keygen")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func newAgeKey(t *testing.T) (public string, private []byte) {
	t.Helper()
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	return public, append(private, '\n')
}

// put writes a file into a host, with its folder.
func put(t *testing.T, h *testhost.Host, path string, data []byte, mode os.FileMode) {
	t.Helper()
	on(t, h, "mkdir", "-p", filepath.Dir(path))
	if err := h.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}

// A private key is read only where its public half can be told in no other way.
func TestHoldsSSH(t *testing.T) {
	n := testhost.NewNetwork(t)
	names := []string{"derives", "known", "foreign", "junk", "plugin", "none", "gone"}
	byName := map[string]*testhost.Host{}
	var options []testhost.Options
	for _, name := range names {
		options = append(options, testhost.Options{Name: name})
	}
	for _, h := range testhost.Lights(t, n, options...) {
		byName[h.Name] = h
	}
	repository, repositoryKey := newAgeKey(t)
	foreign, foreignKey := newAgeKey(t)
	for name, content := range map[string][]byte{
		"derives": foreignKey, "known": repositoryKey, "foreign": append([]byte("# a comment\n"), foreignKey...),
		"junk":   []byte("AGE-SECRET-KEY-1CANARY\n"),
		"plugin": []byte("# recipient: age1canary\nAGE-PLUGIN-YUBIKEY-1QQPSQXXXX\n"),
	} {
		put(t, byName[name], keyFile, content, 0o600)
	}
	if err := byName["known"].WriteFile(keyFile, repositoryKey, 0o640); err != nil {
		t.Fatal(err)
	}
	keygen := ageKeygen(t)
	bin := "/run/current-system/sw/bin"
	put(t, byName["derives"], bin+"/age-keygen", keygen, 0o755)
	for _, name := range names[:6] { // tells of whoever reads a file through us
		put(t, byName[name], bin+"/head", []byte("#!/bin/sh\necho $3 >>/run/reads\nexec /usr/bin/head \"$@\"\n"), 0o755)
	}
	put(t, byName["known"], "/run/secrets.d/3/g.there", []byte("secret"), 0o400)
	on(t, byName["known"], "ln", "-s", "/run/secrets.d/3", "/run/secrets")
	byName["gone"].Kill()

	x := newNix(t)
	var machines []deploy.Machine
	files := map[string][]string{}
	for _, name := range names {
		machines = append(machines, machine(name, flake.NixOS, "ssh://"+name, flake.Derivation{}))
		files[name] = []string{"/run/secrets/g.there", "/run/secrets/g.not there"}
	}
	events := &recorder{}
	o := sshOptions(x, events, n)
	o.MachineKey = func(_ context.Context, machine string) ([]byte, error) {
		if machine == "foreign" || machine == "derives" {
			return nil, errors.New("there is no identity at hand")
		}
		return []byte(strings.TrimSpace(string(repositoryKey))), nil
	}
	held := map[string]deploy.Held{}
	for _, h := range newDeployer(t, o).Holds(t.Context(), machines, files) {
		held[h.Machine] = h
	}
	for name, want := range map[string]struct {
		public []string
		reads  string
	}{
		"derives": {public: []string{foreign}},
		"known":   {public: []string{repository}},
		"foreign": {public: []string{foreign}, reads: keyFile},
		"junk":    {reads: keyFile},
		"plugin":  {reads: keyFile},
		"none":    {},
	} {
		h := held[name]
		if h.Err != nil || !slices.Equal(h.Public, want.public) || h.Target != "ssh://"+name {
			t.Errorf("%s: %v, holds %v, want %v", name, h.Err, h.Public, want.public)
		}
		if reads := on(t, byName[name], "sh", "-c", "cat /run/reads 2>/dev/null || true"); reads != want.reads {
			t.Errorf("%s: read %q, want %q", name, reads, want.reads)
		}
		if _, there := h.Files[keyFile]; there == (name == "none") {
			t.Errorf("%s: files %v", name, h.Files)
		}
		if strings.Contains(eventTexts(events), "AGE-SECRET-KEY") {
			t.Error("a key is in an event")
		}
	}
	for _, name := range []string{"junk", "plugin"} {
		if err := held[name].KeyErr; err == nil || strings.Contains(strings.ToUpper(err.Error()), "CANARY") || strings.Contains(err.Error(), "QQPSQ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	known := held["known"]
	if _, there := known.Files["/run/secrets/g.there"]; !there || len(known.Files) != 2 || known.Files[keyFile].Mode != 0o640 {
		t.Errorf("known has the files %v", known.Files)
	}
	if h := held["gone"]; h.Err == nil || h.Next != "ssh gone true" {
		t.Errorf("gone: %v, next %q", h.Err, h.Next)
	}
}

func TestHoldsRoot(t *testing.T) {
	folder := t.TempDir()
	public, private := newAgeKey(t)
	for name, data := range map[string]string{
		"var/lib/sops-nix/key.txt": string(private), "run/secrets.d/1/g.f": "secret", "run/secrets.d/1/g.folder/x": "",
	} {
		file := filepath.Join(folder, "there", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// As on the machine itself: absolute.
	if err := os.Symlink("/run/secrets.d/1", filepath.Join(folder, "there/run/secrets")); err != nil {
		t.Fatal(err)
	}
	// A link that leads out of the folder leads nowhere.
	if err := os.MkdirAll(filepath.Join(folder, "evil/var/lib/sops-nix"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(folder, "there", keyFile), filepath.Join(folder, "evil", keyFile)); err != nil {
		t.Fatal(err)
	}
	var machines []deploy.Machine
	for _, name := range []string{"there", "never", "evil"} {
		machines = append(machines, machine(name, flake.NixOS, "root:"+folder+"/"+name, flake.Derivation{}))
	}
	held := newDeployer(t, options(newNix(t), &recorder{})).Holds(t.Context(), machines,
		map[string][]string{"there": {"/run/secrets/g.f", "/run/secrets/g.folder", "/run/secrets/g.other"}})
	evil, never, there := held[0], held[1], held[2]
	if there.Err != nil || !slices.Equal(there.Public, []string{public}) || len(there.Files) != 2 || there.Files["/run/secrets/g.f"].Digest == "" {
		t.Errorf("%+v", there)
	}
	if never.Err != nil || len(never.Files) != 0 || len(never.Public) != 0 {
		t.Errorf("%+v", never)
	}
	if evil.Err == nil || len(evil.Public) > 0 {
		t.Errorf("%+v", evil)
	}
	if _, err := os.Stat(filepath.Join(folder, "never")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking has made the folder: %v", err)
	}
}
