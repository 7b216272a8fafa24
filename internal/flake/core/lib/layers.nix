# Layered settings: a later layer wins leaf by leaf, and every leaf remembers
# the layer and the files that it comes from.
{ lib }:
let
  isMarked = value: value ? fleetLeaf;
  isTree = value: builtins.isAttrs value && !(value ? outPath) && value != { };

  # A layer is { origin; files; value; }. An empty set is a leaf too: an
  # attribute set of submodules may hold nothing but names.
  mark =
    layer:
    let
      go =
        value:
        if isTree value then
          lib.mapAttrs (_: go) value
        else
          {
            fleetLeaf = { inherit (layer) origin files; };
            inherit value;
          };
    in
    if layer.value == { } then { } else go layer.value;

  isEmptyLeaf = value: isMarked value && value.value == { };

  override =
    earlier: later:
    if isMarked earlier || isMarked later then
      if isEmptyLeaf later && !isMarked earlier then earlier else later
    else
      earlier
      // lib.mapAttrs (
        name: value: if earlier ? ${name} then override earlier.${name} value else value
      ) later;

  # Two tags are one layer: where both speak they must agree.
  agree =
    loc: one: other:
    if !isMarked one && !isMarked other then
      one
      // lib.mapAttrs (
        name: value: if one ? ${name} then agree (loc ++ [ name ]) one.${name} value else value
      ) other
    else if isEmptyLeaf one then
      other
    else if isEmptyLeaf other || (isMarked one && isMarked other && one.value == other.value) then
      one
    else
      throw "${lib.showOption loc} is set differently by ${say one} and ${say other}: keep one, or decide it for the machine (a machine's settings win over a tag's)";

  anyLeaf =
    value: if isMarked value then value.fleetLeaf else anyLeaf (lib.head (lib.attrValues value));
  say =
    value:
    let
      leaf = anyLeaf value;
    in
    "${leaf.origin} in ${lib.concatStringsSep ", " leaf.files}";

  leaves =
    path: value:
    if isMarked value then
      [
        {
          inherit path;
          inherit (value) value;
          inherit (value.fleetLeaf) origin files;
        }
      ]
    else
      lib.concatLists (lib.mapAttrsToList (name: leaves (path ++ [ name ])) value);
in
{
  # merge loc [ layer | [ layer of one rank ] ] → { value; leaves; origins; }
  merge =
    loc: layers:
    let
      rank =
        layer:
        if builtins.isList layer then lib.foldl' (agree loc) { } (map mark layer) else mark layer;
      tree = lib.foldl' override { } (map rank layers);
      all = leaves [ ] tree;
    in
    {
      leaves = all;
      value = lib.foldl' lib.recursiveUpdate { } (
        map (leaf: lib.setAttrByPath leaf.path leaf.value) all
      );
      origins = lib.listToAttrs (
        map (leaf: lib.nameValuePair (lib.showOption leaf.path) leaf.origin) all
      );
    };
}
