package secrets

import (
	"context"
	"errors"
	"time"

	sopsage "github.com/getsops/sops/v3/age"
)

// Reencrypt gives an envelope of the same content for exactly these recipients,
// with a new data key: whoever kept the old one reads nothing that is written
// from now on. The value itself they know, so it should be rotated too. Keys of
// other kinds than age cannot be given the new data key, and are not dropped
// either: such an envelope is refused.
func Reencrypt(ctx context.Context, envelope []byte, recipients []string, ids *Identities, now time.Time) ([]byte, error) {
	tree, err := load(envelope)
	if err != nil {
		return nil, err
	}
	for _, key := range tree.Metadata.KeyGroups[0] {
		if _, isAge := key.(*sopsage.MasterKey); !isAge {
			return nil, errOtherKeys
		}
	}
	plain, err := Decrypt(ctx, envelope, ids)
	if err != nil {
		return nil, err
	}
	return Encrypt(ctx, plain, recipients, now)
}

// errOtherKeys refuses what would take a file from a key of another kind.
var errOtherKeys = errors.New("it is also encrypted to a key of another kind than age, which fleet cannot give a new data key: use `sops rotate`")
