package secrets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/repository"
)

func TestEnsureMachineKey(t *testing.T) {
	admin := newKeyPair(t)
	layout, dir := newRepository(t, admin.public)
	if _, err := layout.Machine("cinnabar"); !errors.Is(err, ErrNoMachineKey) {
		t.Errorf("error: %v", err)
	}
	holder, files, err := EnsureMachineKey(t.Context(), layout, "cinnabar", testTime)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 || files[0].Path != "sops/machines/cinnabar/key.json" || files[1].Path != "sops/keys/cinnabar" {
		t.Fatalf("files: %v", files)
	}
	apply(t, dir, files)

	again, files, err := EnsureMachineKey(t.Context(), layout, "cinnabar", testTime)
	if err != nil || len(files) != 0 || again.Keys[0] != holder.Keys[0] {
		t.Errorf("the key was made again: %v, %v", again, err)
	}
	private, err := MachinePrivateKey(t.Context(), layout, "cinnabar", admin.ids)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities("machine", private)
	if err != nil || !SameRecipients(ids.Recipients(), holder.Recipients()) {
		t.Errorf("the halves differ (%v)", err)
	}
	// The real program on the machine reads what is sealed for it.
	sealed := encrypt(t, []byte("hunter2"), holder.Recipients()...)
	keyFile := write(t, "key.txt", append(private, '\n'))
	got := run(t, []string{"SOPS_AGE_KEY_FILE=" + keyFile}, nil, program(t, "sops"), "decrypt", write(t, "secret", sealed))
	if string(got) != "hunter2" {
		t.Errorf("sops read %q", got)
	}
}

func TestMachineKeyTrouble(t *testing.T) {
	admin := newKeyPair(t)
	setup := func(t *testing.T) (*Native, string) {
		layout, dir := newRepository(t, admin.public)
		_, files, err := EnsureMachineKey(t.Context(), layout, "cinnabar", testTime)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, dir, files)
		return layout, dir
	}
	t.Run("halves of two pairs", func(t *testing.T) {
		layout, dir := setup(t)
		put(t, dir, "sops/machines/cinnabar/key.json", aliceKey, 0o644)
		_, err := MachinePrivateKey(t.Context(), layout, "cinnabar", admin.ids)
		mismatch := (*KeyMismatchError)(nil)
		if !errors.As(err, &mismatch) || mismatch.Announced != aliceKey {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("no key.json", func(t *testing.T) {
		layout, dir := setup(t)
		if err := os.Remove(filepath.Join(dir, "sops/machines/cinnabar/key.json")); err != nil {
			t.Fatal(err)
		}
		_, files, err := EnsureMachineKey(t.Context(), layout, "cinnabar", testTime)
		if err == nil || files != nil || !strings.Contains(err.Error(), "sops/keys/cinnabar") {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("brought its own", func(t *testing.T) {
		layout, dir := setup(t)
		put(t, dir, "sops/machines/argentum/key.json", sshKey, 0o644)
		holder, files, err := EnsureMachineKey(t.Context(), layout, "argentum", testTime)
		if err != nil || files != nil || len(holder.Keys) != 1 {
			t.Errorf("%v, %v, %v", holder, files, err)
		}
		if _, err := MachinePrivateKey(t.Context(), layout, "argentum", admin.ids); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("another administrator", func(t *testing.T) {
		layout, _ := setup(t)
		_, err := MachinePrivateKey(t.Context(), layout, "cinnabar", newKeyPair(t).ids)
		if noMatch := (*NoMatchError)(nil); !errors.As(err, &noMatch) || !strings.Contains(err.Error(), "sops/keys/cinnabar") {
			t.Errorf("error: %v", err)
		}
	})
	t.Run("something else in its place", func(t *testing.T) {
		layout, dir := setup(t)
		apply(t, dir, []repository.File{{Path: "sops/keys/cinnabar", Data: encrypt(t, []byte("swordfish"), admin.public)}})
		_, err := MachinePrivateKey(t.Context(), layout, "cinnabar", admin.ids)
		if err == nil || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("error: %v", err)
		}
	})
}
