package secrets

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
)

// SameRecipients tells whether two lists name the same public keys, whatever
// their order, doubles, and the comments of ssh keys.
func SameRecipients(a, b []string) bool {
	return slices.Equal(normalizeRecipients(a), normalizeRecipients(b))
}

// normalizeRecipients sorts public keys and removes doubles and comments.
func normalizeRecipients(recipients []string) []string {
	normal := make([]string, 0, len(recipients))
	for _, recipient := range recipients {
		normal = append(normal, NormalizeRecipient(recipient))
	}
	slices.Sort(normal)
	return slices.Compact(normal)
}

// NormalizeRecipient removes what does not belong to a public key: the space
// around it and the comment of an ssh key.
func NormalizeRecipient(recipient string) string {
	recipient = strings.TrimSpace(recipient)
	if fields := strings.Fields(recipient); strings.HasPrefix(recipient, "ssh-") && len(fields) > 2 {
		return fields[0] + " " + fields[1]
	}
	return recipient
}

// parseRecipient reads a public key as sops does, except that an age plugin
// never asks on the terminal.
func parseRecipient(recipient string) (age.Recipient, error) {
	var parsed age.Recipient
	var err error
	switch {
	case strings.HasPrefix(recipient, "age1pq1"):
		parsed, err = age.ParseHybridRecipient(recipient)
	case isPluginRecipient(recipient):
		parsed, err = plugin.NewRecipient(recipient, silentPluginUI())
	case strings.HasPrefix(recipient, "age1"):
		parsed, err = age.ParseX25519Recipient(recipient)
	case strings.HasPrefix(recipient, "ssh-"):
		parsed, err = agessh.ParseRecipient(recipient)
	case strings.HasPrefix(recipient, "AGE-SECRET-KEY-"), strings.HasPrefix(recipient, "AGE-PLUGIN-"):
		return nil, errors.New("this is a private key where a public key belongs: treat it as disclosed, and make a new one")
	default:
		return nil, fmt.Errorf("%q is no age public key, which begins with age1 or ssh-", recipient)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not a complete age public key: %w", recipient, err)
	}
	return parsed, nil
}

// isPluginRecipient recognises age1NAME1…: the part before the last 1 is age1NAME.
func isPluginRecipient(recipient string) bool {
	return strings.HasPrefix(recipient, "age1") && strings.Count(recipient, "1") > 1 && !strings.HasPrefix(recipient, "age1pq1")
}
