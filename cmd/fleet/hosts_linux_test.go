package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crs58/fleet/internal/testhost"
)

// TestHostScripts runs testdata/script/hosts: with two light hosts, whose
// addresses are $ONE and $TWO and whose host keys are $ONE_KEY and $TWO_KEY. The
// key in the home folder lets root in, and ops, whose sudo asks for the password
// "open sesame".
func TestHostScripts(t *testing.T) {
	n := testhost.NewNetwork(t)
	users := []testhost.User{{Name: "ops", Password: "open sesame", Sudo: "(ALL) ALL"}}
	hosts := testhost.Lights(t, n, testhost.Options{Name: "one", Users: users}, testhost.Options{Name: "two", Users: users})
	params := scripts(t, "testdata/script/hosts")
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error {
		if err := setup(env); err != nil {
			return err
		}
		for _, h := range hosts {
			name := strings.ToUpper(h.Name)
			env.Setenv(name, h.IP.String())
			env.Setenv(name+"_KEY", h.HostKey)
		}
		key, err := os.ReadFile(n.ClientKey)
		dir := filepath.Join(env.Getenv("HOME"), ".ssh")
		return errors.Join(err, os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "id_ed25519"), key, 0o600))
	}
	testscript.Run(t, params)
}
