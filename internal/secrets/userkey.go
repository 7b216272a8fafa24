package secrets

import "slices"

// AddUserKey gives the key.json of an administrator with the public key added,
// or nothing if it is already there. Secrets that exist are not yet readable
// with it: [Reseal] them.
func AddUserKey(l Layout, user, public string) ([]File, error) {
	file, err := l.UserKeyPath(user)
	if err != nil {
		return nil, err
	}
	public = normalizeRecipient(public)
	if _, err := parseRecipient(public); err != nil {
		return nil, err
	}
	users, err := l.Users()
	if err != nil {
		return nil, err
	}
	keys := []Key{{PublicKey: public, Type: "age"}}
	for _, holder := range users {
		if holder.Name == user {
			if slices.Contains(holder.Recipients(), public) {
				return nil, nil
			}
			keys = append(keys, holder.Keys...)
		}
	}
	data, err := FormatKeys(keys)
	if err != nil {
		return nil, err
	}
	return []File{{Path: file, Data: data}}, nil
}
