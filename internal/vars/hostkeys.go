package vars

import (
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/crs58/fleet/internal/secrets"
)

// HostKeys gives the SSH public keys, as lines of authorized_keys, that
// generators made for each machine alone: once a machine uses them it can be
// known by them, without trust on first use.
func HostKeys(layout secrets.Layout) (map[string][]string, error) {
	refs, err := layout.List()
	if err != nil {
		return nil, err
	}
	keys := map[string][]string{}
	for _, ref := range refs {
		if ref.Machine == "" || ref.Secret || !strings.HasSuffix(ref.File, ".pub") {
			continue
		}
		data, err := layout.Read(ref)
		if err != nil {
			return nil, err
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(data)
		if _, isCertificate := key.(*ssh.Certificate); err == nil && !isCertificate {
			keys[ref.Machine] = append(keys[ref.Machine], strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))))
		}
	}
	return keys, nil
}
