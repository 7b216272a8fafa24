package vars

import (
	"context"

	"github.com/crs58/fleet/internal/secrets"
)

// SecretRow is one secret without a generator, or the private key of a machine, as
// [Fleet.ListSecrets] shows it.
type SecretRow struct {
	Name string `json:"name"`
	// MachineKey is the machine whose private key it is.
	MachineKey string `json:"machineKey,omitempty"`
	secrets.Linked
	// Lacks should be able to read it and cannot, Extra can and should not.
	Lacks []string `json:"lacks,omitempty"`
	Extra []string `json:"extra,omitempty"`
	// Damaged says why nobody can read it.
	Damaged string `json:"damaged,omitempty"`
}

// Readers is the state of the recipients in a word or two.
func (r SecretRow) Readers() string {
	return Row{Secret: true, Present: true, Lacks: r.Lacks, Extra: r.Extra, Damaged: r.Damaged}.Readers()
}

// ListSecrets shows the secrets without a generator, and the private keys of
// machines, which lie beside them, sorted by name. It needs no key.
func (f *Fleet) ListSecrets(ctx context.Context) ([]SecretRow, error) {
	clan, err := f.clan()
	if err != nil {
		return nil, err
	}
	refs, err := f.Layout.Others()
	if err != nil {
		return nil, err
	}
	people, err := f.plainReaders()
	if err != nil {
		return nil, err
	}
	rows := map[string]SecretRow{}
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		row := SecretRow{Name: secrets.SecretName(ref), MachineKey: ref.Machine}
		linked, err := clan.LinkedTo(ref)
		if err != nil {
			return nil, err
		}
		row.Users = append([]string{}, linked.Users...)
		row.Machines = append([]string{}, linked.Machines...)
		row.Groups = append([]string{}, linked.Groups...)
		if a, _, err := people.auditNoted(ref); err != nil {
			row.Damaged = err.Error()
		} else {
			row.Lacks, row.Extra = a.Lacks, a.Extra
		}
		rows[row.Name] = row
	}
	list := []SecretRow{}
	for _, name := range sorted(rows) {
		list = append(list, rows[name])
	}
	return list, nil
}

// GetSecret gives the bytes of a secret without a generator, or of the private key
// of a machine.
func (f *Fleet) GetSecret(ctx context.Context, name string) ([]byte, error) {
	if _, err := f.clan(); err != nil {
		return nil, err
	}
	ref, err := f.findSecret(name)
	if err != nil {
		return nil, err
	}
	return secrets.Open(ctx, f.Layout, ref, f.Identities)
}

// ReadSopsFile gives what a sops file holds as secrets without a generator: each
// text at its top, under its name behind a prefix; and the names of what is no
// text. The file's name tells its format.
func (f *Fleet) ReadSopsFile(ctx context.Context, name string, data []byte, prefix string) (given map[string][]byte, others []string, err error) {
	doc, err := secrets.ParseDocument(name, data, nil)
	if err != nil {
		return nil, nil, err
	}
	texts, others, err := doc.Texts(ctx, f.Identities)
	if err != nil {
		return nil, nil, err
	}
	given = map[string][]byte{}
	for name, text := range texts {
		given[prefix+name] = text
	}
	return given, others, nil
}
