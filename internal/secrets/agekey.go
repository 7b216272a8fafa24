package secrets

import (
	"bytes"
	"fmt"

	"filippo.io/age"
)

// NewAgeKey makes an X25519 age key. The private part is the line
// AGE-SECRET-KEY-1… without a newline.
func NewAgeKey() (public string, private []byte, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", nil, fmt.Errorf("make an age key: %w", err)
	}
	return id.Recipient().String(), []byte(id.String()), nil
}

// FormatIdentity gives the lines that are appended to an identity file, as
// clan writes them.
func FormatIdentity(public string, private []byte) []byte {
	var lines bytes.Buffer
	fmt.Fprintf(&lines, "# public key: %s\n%s\n", public, private)
	return lines.Bytes()
}
