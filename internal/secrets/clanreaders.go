package secrets

import (
	"path"
	"slices"
	"strings"
)

// Wanted is what the links beside a secret say, and as clan does it the default
// groups of its machine. The machines are those that are given: links to others
// are left from before. A new secret, or one that links to no person, is for the
// own user.
func (c *Clan) Wanted(ref Ref, machines []Holder) ([]string, error) {
	linked, err := c.linked(ref)
	if err != nil {
		return nil, err
	}
	var recipients []string
	for _, user := range append(linked[linkUsers], clanRecovery) {
		keys, err := c.keysOf(linkUsers, user)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, keys...)
	}
	for _, group := range append(linked[linkGroups], c.defaultGroups(ref)...) {
		keys, err := c.groupKeys(group)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, keys...)
	}
	if len(recipients) == 0 {
		if recipients, err = c.unlinked(ref); err != nil {
			return nil, err
		}
	}
	for _, machine := range machines {
		keys, err := ageRecipients("machine "+machine.Name, machine)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, keys...)
	}
	return normalizeRecipients(recipients), nil
}

// AdminRecipients are the own user, the groups that read the secrets of every
// machine, and the recovery key.
func (c *Clan) AdminRecipients() ([]string, error) {
	recipients, err := c.keysOf(linkUsers, clanRecovery)
	if err != nil {
		return nil, err
	}
	user, err := c.ownUser()
	if err != nil {
		return nil, err
	}
	recipients = append(recipients, user.Recipients()...)
	for _, group := range c.commonGroups() {
		keys, err := c.groupKeys(group)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, keys...)
	}
	if len(recipients) == 0 {
		return nil, ErrNoAdmin
	}
	return normalizeRecipients(recipients), nil
}

// unlinked are the people who read a secret without links to any: users that it
// is encrypted to nevertheless, otherwise the own user.
func (c *Clan) unlinked(ref Ref) (recipients []string, err error) {
	if envelope, err := c.Read(ref); err == nil {
		actual, _ := EnvelopeRecipients(envelope)
		users, err := c.Users()
		if err != nil {
			return nil, err
		}
		for _, user := range users {
			if keys := user.Recipients(); overlap(keys, actual) {
				recipients = append(recipients, keys...)
			}
		}
	}
	if len(recipients) > 0 {
		return recipients, nil
	}
	user, err := c.ownUser()
	if err == nil && len(user.Keys) == 0 {
		err = ErrNoAdmin
	}
	return user.Recipients(), err
}

// ownUser is the first user who has one of the own keys; no keys if there is none.
func (c *Clan) ownUser() (Holder, error) {
	users, err := c.Users()
	for _, user := range users {
		if overlap(user.Recipients(), c.opts.Own) {
			_, err := ageRecipients("user "+user.Name, user)
			return user, err
		}
	}
	return Holder{}, err
}

// defaultGroups are those that read the secrets of a machine, of a shared secret
// those of all machines: clan asks only the first machine that declares it, and
// the others when they are fixed.
func (c *Clan) defaultGroups(ref Ref) (groups []string) {
	switch {
	case ref.IsPlain():
		return nil
	case ref.Machine != "":
		return c.opts.Groups[ref.Machine]
	}
	for _, of := range c.opts.Groups {
		groups = append(groups, of...)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// commonGroups are those that read the secrets of every machine.
func (c *Clan) commonGroups() (groups []string) {
	first := true
	for _, of := range c.opts.Groups {
		if first {
			groups, first = slices.Clone(of), false
		}
		groups = slices.DeleteFunc(groups, func(group string) bool { return !slices.Contains(of, group) })
	}
	return groups
}

// keysOf reads the keys of a user or machine; none for a link that leads to nothing.
func (c *Clan) keysOf(kind, name string) ([]string, error) {
	keys, err := c.readKeys(path.Join("sops", kind, name, keyName))
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ageRecipients(strings.TrimSuffix(kind, "s")+" "+name, Holder{Name: name, Keys: keys})
}

// groupKeys are the keys of all members of a group.
func (c *Clan) groupKeys(group string) (keys []string, err error) {
	for _, kind := range []string{linkUsers, linkMachines} {
		members, err := c.links(path.Join(groupsDir, group, kind))
		if err != nil {
			return nil, err
		}
		for _, member := range members {
			own, err := c.keysOf(kind, member)
			if err != nil {
				return nil, err
			}
			keys = append(keys, own...)
		}
	}
	return keys, nil
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(key string) bool { return slices.Contains(b, key) })
}

// contains tells whether all of sub are in list, and sub is not empty.
func contains(list, sub []string) bool {
	return len(sub) > 0 && !slices.ContainsFunc(sub, func(key string) bool { return !slices.Contains(list, key) })
}
