package cli

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

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
// may be empty for reading, which goes by what was evaluated before, or by the
// files.
func (s *session) layout(details map[string]*flake.Details, own []string) (secrets.Layout, error) {
	dir, err := s.valuesDir()
	if err != nil {
		return nil, err
	}
	kind, err := secrets.Detect(dir)
	if err != nil {
		return nil, err
	}
	looking := details == nil
	if looking {
		details = s.known
	}
	isClan := s.fleet.Flavour == flake.Clan
	switch {
	case isClan && kind == secrets.KindNative:
		return nil, errors.New("clan-core reads its values in vars/, but here they lie below sops/ in fleet's own layout: `fleet vars migrate --to clan` moves them")
	case isClan && (len(details) > 0 || kind == ""):
		kind = secrets.KindClan // unless a machine says otherwise
	case !isClan && s.fleet.Flavour != "" && kind == secrets.KindAge:
		return nil, errors.New("here lie secrets of clan's store age, in secrets/, which only a flake of clan-core reads: `fleet vars export` with that and `fleet vars import` take them over")
	}
	groups := map[string][]string{}
	for i, machine := range slices.Sorted(maps.Keys(details)) {
		store := details[machine].Store
		if err := readable(store); err != nil && !looking { // public values are in the repository
			return nil, fmt.Errorf("machine %s: %w", machine, err)
		}
		if is := store.Secret == "age"; i > 0 && is != (kind == secrets.KindAge) {
			return nil, fmt.Errorf("machine %s keeps its secrets in another store than the machines before it: set vars.settings.secretStore for all", machine)
		} else if is {
			kind = secrets.KindAge
		}
		groups[machine] = store.Groups
	}
	if kind == secrets.KindAge {
		return secrets.OpenAge(dir, s.ageOptions(details))
	}
	return secrets.OpenLayout(dir, kind, secrets.ClanOptions{Own: own, Groups: groups})
}

// ageOptions is what the machines say about who is to read secrets in the store
// age; nothing if none was evaluated.
func (s *session) ageOptions(details map[string]*flake.Details) (o secrets.AgeOptions) {
	if len(details) == 0 {
		return o
	}
	o.Recipients, o.Sharing = map[string][]string{}, map[string][]string{}
	o.Whole = len(details) == len(s.fleet.Inventory.Machines)
	for machine, d := range details {
		o.Recipients[machine] = d.Store.Recipients
		for name, g := range d.Generators {
			if g.Share {
				o.Sharing[name] = append(o.Sharing[name], machine)
			}
		}
	}
	return o
}

// readable refuses stores that are not in the repository, or that only clan's
// own program knows.
func readable(store flake.Store) error {
	switch store.Secret {
	case "", "sops", "age":
	case "password-store":
		return errors.New("its secrets are in a password store, which fleet does not read: `clan vars export` gives them out, and `fleet vars import` takes them in once vars.settings.secretStore is \"sops\" or \"age\"")
	default:
		return fmt.Errorf("its secrets are kept by %s, which fleet does not know: set vars.settings.secretStore to \"sops\" or \"age\"", store.Secret)
	}
	if store.Public != "" && store.Public != "in_repo" {
		return fmt.Errorf("its public values are kept by %s, which fleet does not know: set vars.settings.publicStore to \"in_repo\"", store.Public)
	}
	return nil
}
