package secrets

import (
	"path"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/repository"
)

// linkSet are the names that lie, or are to lie, as links beside a secret, by
// the kind of holder.
type linkSet map[string][]string

// linked reads the links beside a secret.
func (c *Clan) linked(ref Ref) (linkSet, error) {
	dir, err := c.dir(ref)
	if err != nil {
		return nil, err
	}
	set := linkSet{}
	for _, kind := range []string{linkMachines, linkUsers, linkGroups} {
		if set[kind], err = c.links(path.Join(dir, kind)); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// Links gives what must be written or removed so that the links beside a secret
// name those who read it. What is right stays as it is, as far as it can be told
// from keys: when two users have one key, the one that is linked goes on to be.
func (c *Clan) Links(ref Ref, recipients []string) ([]repository.File, error) {
	dir, err := c.dir(ref)
	if err != nil {
		return nil, err
	}
	before, err := c.linked(ref)
	if err != nil {
		return nil, err
	}
	after, err := c.wantedLinks(ref, before, normalizeRecipients(recipients))
	if err != nil {
		return nil, err
	}
	var files []repository.File
	for _, kind := range []string{linkMachines, linkUsers, linkGroups} {
		slices.Sort(after[kind])
		for _, name := range slices.Compact(after[kind]) {
			file := repository.File{Path: path.Join(dir, kind, name), Link: linkTo(path.Join(dir, kind), kind, name)}
			if target, err := c.readLink(file.Path); err != nil && !isMissing(err) {
				return nil, err
			} else if target != file.Link {
				files = append(files, file)
			}
		}
		for _, name := range before[kind] {
			if !slices.Contains(after[kind], name) {
				files = append(files, repository.File{Path: path.Join(dir, kind, name), Gone: true})
			}
		}
	}
	return files, nil
}

// linkTo is the link from a folder to a holder, the shortest as clan makes it.
func linkTo(folder, kind, name string) string {
	from, to := strings.Split(folder, "/"), []string{"sops", kind, name}
	for len(from) > 0 && len(to) > 1 && from[0] == to[0] {
		from, to = from[1:], to[1:]
	}
	return strings.Repeat("../", len(from)) + path.Join(to...)
}

func (c *Clan) wantedLinks(ref Ref, before linkSet, recipients []string) (linkSet, error) {
	after := linkSet{}
	if len(recipients) == 0 {
		return after, nil
	}
	var covered []string
	link := func(kind, name string, keys []string) {
		after[kind] = append(after[kind], name)
		covered = append(covered, keys...)
	}
	for _, group := range before[linkGroups] {
		keys, err := c.groupKeys(group)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 { // git keeps no group without members
			link(linkGroups, group, keys)
		}
	}
	for _, group := range c.defaultGroups(ref) {
		keys, err := c.groupKeys(group)
		if err != nil {
			return nil, err
		}
		if contains(recipients, keys) {
			link(linkGroups, group, keys)
		}
	}
	for _, kind := range []string{linkMachines, linkUsers} {
		for _, name := range before[kind] {
			keys, err := c.keysOf(kind, name)
			if err != nil {
				return nil, err
			}
			if overlap(recipients, keys) {
				link(kind, name, keys)
			}
		}
	}
	// As clan does it, whoever makes a secret is linked beside the groups.
	own, err := c.ownUser()
	if err != nil {
		return nil, err
	}
	if exists, err := c.Exists(ref); err != nil {
		return nil, err
	} else if !exists && contains(recipients, own.Recipients()) {
		link(linkUsers, own.Name, own.Recipients())
	}
	missing := slices.DeleteFunc(slices.Clone(recipients), func(key string) bool { return slices.Contains(covered, key) })
	return after, c.linkOwners(ref, missing, after)
}

// linkOwners adds links to those who have the keys.
func (c *Clan) linkOwners(ref Ref, keys []string, after linkSet) error {
	take := func(kind string, h Holder) {
		if own := h.Recipients(); overlap(keys, own) {
			after[kind] = append(after[kind], h.Name)
			keys = slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(own, key) })
		}
	}
	if ref.Machine != "" && !ref.IsKey() && len(keys) > 0 {
		own, err := c.keysOf(linkMachines, ref.Machine)
		if err != nil {
			return err
		}
		take(linkMachines, ageHolder(ref.Machine, own))
	}
	if len(keys) == 0 {
		return nil
	}
	users, err := c.people.Users()
	if err != nil {
		return err
	}
	for _, user := range users {
		take(linkUsers, user)
	}
	if len(keys) == 0 {
		return nil
	}
	machines, err := c.readDir(machinesDir, "machine")
	if err != nil {
		return err
	}
	for _, machine := range machines {
		own, err := c.keysOf(linkMachines, machine)
		if err != nil {
			return err
		}
		take(linkMachines, ageHolder(machine, own))
	}
	return nil
}

func ageHolder(name string, recipients []string) Holder {
	h := Holder{Name: name}
	for _, key := range recipients {
		h.Keys = append(h.Keys, Key{PublicKey: key, Type: "age"})
	}
	return h
}
