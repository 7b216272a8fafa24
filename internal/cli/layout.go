package cli

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// valuesDir is the folder of the fleet that holds its values, for commands that
// write to it.
func (s *session) valuesDir() (string, error) {
	if s.fleet.Dir == "" {
		return "", errors.New("this flake is a remote reference: work on a checkout of it (--flake FOLDER)")
	}
	return filepath.Join(s.fleet.Dir, filepath.FromSlash(s.fleet.Folder)), nil
}

// layout opens the folder in the layout that its flake reads. details are those
// of the machines that are worked on, own the public keys of whoever does it; both
// may be empty for reading.
func (s *session) layout(details map[string]*flake.Details, own []string) (secrets.Layout, error) {
	dir, err := s.valuesDir()
	if err != nil {
		return nil, err
	}
	kind, err := secrets.Detect(dir)
	if err != nil {
		return nil, err
	}
	if s.fleet.Flavour == flake.Clan {
		if kind == secrets.KindNative {
			return nil, errors.New("clan-core reads its values in vars/, but here they lie below sops/ in fleet's own layout: `fleet vars migrate --to clan` moves them")
		}
		kind = secrets.KindClan
	}
	options := secrets.ClanOptions{Own: own, Groups: map[string][]string{}}
	for machine, d := range details {
		if err := readable(d.Store); err != nil {
			return nil, fmt.Errorf("machine %s: %w", machine, err)
		}
		options.Groups[machine] = d.Store.Groups
	}
	return secrets.OpenLayout(dir, kind, options)
}

// readable refuses stores that are not in the repository, or that only clan's
// own program knows.
func readable(store flake.Store) error {
	switch store.Secret {
	case "", "sops":
	case "password-store":
		return errors.New("its secrets are in a password store, which fleet does not read: `clan vars export` gives them out, and `fleet vars import` takes them in once vars.settings.secretStore is \"sops\"")
	default:
		return fmt.Errorf("its secrets are kept by %s, which fleet does not know: set vars.settings.secretStore to \"sops\"", store.Secret)
	}
	if store.Public != "" && store.Public != "in_repo" {
		return fmt.Errorf("its public values are kept by %s, which fleet does not know: set vars.settings.publicStore to \"in_repo\"", store.Public)
	}
	return nil
}
