package deploy_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/testhost"
	"github.com/google/go-cmp/cmp"
)

const activationFile = "/var/lib/sops-nix/activation/host/disk/passphrase"

// uploading are options that know every machine's key and its activation secret.
func uploading(o deploy.Options) deploy.Options {
	o.Secret = func(_ context.Context, machine, value string) ([]byte, error) {
		return []byte(value + " of " + machine), nil
	}
	return o
}

// withActivation is a machine with a secret that its activation needs in plain.
func withActivation(name, address string) deploy.Machine {
	m := machine(name, flake.NixOS, address, flake.Derivation{})
	m.Details.Generators["disk"] = &flake.Generator{Files: map[string]*flake.File{
		"passphrase": {Secret: true, Deploy: true, NeededFor: "activation", Path: activationFile},
		// These the machine decrypts itself.
		"early":  {Secret: true, Deploy: true, NeededFor: "activation", Path: "/run/secrets-for-users/disk.early"},
		"late":   {Secret: true, Deploy: true, NeededFor: "services", Path: "/run/secrets/disk.late"},
		"beside": {Secret: true, Deploy: true, NeededFor: "activation", Path: "/var/lib/sops-nix/../x"},
	}}
	return m
}

// actions are those of an upload, by path.
func actions(u deploy.Upload) map[string]deploy.KeyAction {
	all := map[string]deploy.KeyAction{}
	for _, f := range u.Files {
		all[f.Path] = f.Action
	}
	return all
}

func TestUploadSSH(t *testing.T) {
	n := testhost.NewNetwork(t)
	byName := map[string]*testhost.Host{}
	for _, h := range testhost.Lights(t, n, testhost.Options{Name: "new"}, testhost.Options{Name: "half"}, testhost.Options{Name: "gone"}) {
		byName[h.Name] = h
	}
	put(t, byName["half"], keyFile, []byte(testKey+"\n"), 0o600)
	put(t, byName["half"], activationFile, []byte("disk/passphrase of half"), 0o644)
	byName["gone"].Kill()
	events := &recorder{}
	o := uploading(sshOptions(newNix(t), events, n))
	machines := []deploy.Machine{withActivation("new", "ssh://new"), withActivation("half", "ssh://half"), withActivation("gone", "ssh://gone")}
	upload := func(dryRun bool, half, new map[string]deploy.KeyAction) {
		t.Helper()
		list := newDeployer(t, o).Upload(t.Context(), machines, dryRun)
		if list[0].Err == nil || list[0].Next != "ssh gone true" || len(list[0].Files) > 0 {
			t.Errorf("gone: %+v", list[0])
		}
		for i, want := range []map[string]deploy.KeyAction{half, new} {
			if diff := cmp.Diff(want, actions(list[i+1])); diff != "" || list[i+1].Err != nil {
				t.Errorf("%s: %v %s", list[i+1].Machine, list[i+1].Err, diff)
			}
		}
	}
	half := map[string]deploy.KeyAction{keyFile: deploy.KeyUnchanged, activationFile: deploy.KeyReplace}
	fresh := map[string]deploy.KeyAction{keyFile: deploy.KeyInstall, activationFile: deploy.KeyInstall}
	same := map[string]deploy.KeyAction{keyFile: deploy.KeyUnchanged, activationFile: deploy.KeyUnchanged}
	upload(true, half, fresh)
	if got := on(t, byName["new"], "ls", "/var/lib"); got != "" {
		t.Errorf("the dry run has made %s", got)
	}
	upload(false, half, fresh)
	for _, name := range []string{"new", "half"} {
		if got := on(t, byName[name], "cat", keyFile, activationFile); got != testKey+"\ndisk/passphrase of "+name {
			t.Errorf("%s has %q", name, got)
		}
		if got := on(t, byName[name], "stat", "-c", "%a.%U", keyFile, activationFile, filepath.Dir(activationFile)); got != "600.root\n600.root\n700.root" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := on(t, byName["new"], "stat", "-c", "%a", filepath.Dir(keyFile)); got != "700" {
		t.Errorf("the folder of the key has mode %s", got)
	}
	upload(false, same, same)
	if texts := eventTexts(events); strings.Contains(texts, testKey) || strings.Contains(texts, "passphrase of") {
		t.Error("a secret is in an event")
	}
}

func TestUploadInto(t *testing.T) {
	dir := t.TempDir()
	o := uploading(options(newNix(t), &recorder{}))
	m := withActivation("laptop", "")
	folder := filepath.Join(dir, "key")
	for round, want := range []map[string]deploy.KeyAction{
		{"/key.txt": deploy.KeyInstall, "/activation/host/disk/passphrase": deploy.KeyInstall},
		{"/key.txt": deploy.KeyUnchanged, "/activation/host/disk/passphrase": deploy.KeyUnchanged},
	} {
		u := newDeployer(t, o).UploadInto(t.Context(), m, folder, false)
		if diff := cmp.Diff(want, actions(u)); diff != "" || u.Err != nil {
			t.Errorf("round %d: %v %s", round, u.Err, diff)
		}
	}
	wantMode(t, folder, 0o700)
	wantMode(t, folder+"/key.txt", 0o600)
	wantMode(t, folder+"/activation/host/disk/passphrase", 0o600)
	if got := readFile(t, folder+"/key.txt"); got != testKey {
		t.Error("the key is wrong")
	}

	// Where something else lies nothing is written.
	for name, prepare := range map[string]func(folder string) error{
		"is no folder": func(folder string) error { return os.WriteFile(folder, nil, 0o644) },
		"holds other.txt, which no upload": func(folder string) error {
			return errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(folder+"/other.txt", nil, 0o644))
		},
		"holds key.txt, which no upload": func(folder string) error {
			return errors.Join(os.Mkdir(folder, 0o755), os.Symlink("/etc/passwd", folder+"/key.txt"))
		},
		"no such file or directory": func(string) error { return os.RemoveAll(filepath.Join(dir, "parent")) },
	} {
		folder := filepath.Join(dir, "refused")
		if strings.Contains(name, "no such") {
			folder = filepath.Join(dir, "parent/refused")
		}
		if err := prepare(folder); err != nil {
			t.Fatal(err)
		}
		if u := newDeployer(t, o).UploadInto(t.Context(), m, folder, false); u.Err == nil || !strings.Contains(u.Err.Error(), name) || len(u.Files) > 0 {
			t.Errorf("%s: %v", name, u.Err)
		}
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
	}
	if u := newDeployer(t, o).UploadInto(t.Context(), m, dir+"/dry", true); u.Err != nil || len(u.Files) != 2 {
		t.Errorf("%+v", u)
	}
	if _, err := os.Stat(dir + "/dry"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the dry run has made it: %v", err)
	}
}

// A machine without a key from here gets what else it needs.
func TestUploadWithoutKey(t *testing.T) {
	dir := t.TempDir()
	o := uploading(options(newNix(t), &recorder{}))
	own := withActivation("own", "root:"+dir+"/own")
	bare := machine("bare", flake.NixOS, "root:"+dir+"/bare", flake.Derivation{})
	bare.Details.Generators = nil
	lacking := machine("lacking", flake.NixOS, "root:"+dir+"/lacking", flake.Derivation{})
	shallow := machine("shallow", flake.NixOS, "root:"+dir+"/shallow", flake.Derivation{})
	shallow.Details.SecretUploadDirectory = "/var"
	broken := deploy.Machine{Name: "z", Address: "root:" + dir + "/z", Err: errors.New("it does not evaluate")}
	o.MachineKey = func(_ context.Context, machine string) ([]byte, error) {
		switch machine {
		case "own":
			return nil, fs.ErrNotExist
		case "bare", "lacking":
			return nil, secrets.ErrNoMachineKey
		}
		return []byte(testKey), nil
	}
	list := newDeployer(t, o).Upload(t.Context(), []deploy.Machine{own, bare, lacking, shallow, broken}, false)
	for i, want := range []struct {
		files           int
		note, err, next string
	}{
		{note: "has no secrets"},
		{err: "no key to read them with yet", next: "fleet vars generate lacking"},
		{files: 1, note: "brings its own key"},
		{err: "use a folder of its own"},
		{err: "it does not evaluate"},
	} {
		u := list[i]
		if len(u.Files) != want.files || u.Note != want.note || !strings.Contains(u.Error, want.err) || (u.Err == nil) != (want.err == "") || u.Next != want.next {
			t.Errorf("%s: %+v", u.Machine, u)
		}
	}
	if got := readFile(t, dir+"/own"+activationFile); got != "disk/passphrase of own" {
		t.Errorf("own has %q", got)
	}
}
