package vars_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/secrets"
	"github.com/crs58/fleet/internal/vars"
)

func TestHostKeys(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDimuS8gC+Cn/hcNkau2LyE0mJYysPiNEiSHlnyS0dpE"
	dir := t.TempDir()
	for name, text := range map[string]string{
		"machines/web/facts/ssh-host-key/id_ed25519.pub": key + " fleet@web\n",
		"machines/web/facts/ssh-host-key/comment":        key + " not a .pub file\n",
		"machines/web/facts/token/token.pub":             "no key at all\n",
		"machines/db/facts/ssh-host-key/id_ed25519.pub":  key + " another machine\n",
		"shared/facts/ssh-ca/ca.pub":                     key + " shared\n",
	} {
		file := filepath.Join(dir, "sops", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	layout, err := secrets.OpenNative(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer layout.Close()
	got, err := vars.HostKeys(layout)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"web": {key}, "db": {key}}, got); diff != "" {
		t.Error(diff)
	}
}
