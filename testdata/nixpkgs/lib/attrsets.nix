{ lib }:
let
  inherit (builtins)
    attrNames
    foldl'
    head
    isAttrs
    length
    listToAttrs
    mapAttrs
    tail
    ;
in
rec {
  inherit (builtins)
    attrNames
    catAttrs
    getAttr
    hasAttr
    intersectAttrs
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    unsafeGetAttrPos
    zipAttrsWith
    ;

  attrValues = builtins.attrValues;
  isType = type: v: v._type or null == type;
  setType = type: v: v // { _type = type; };
  attrVals = names: set: map (n: set.${n}) names;
  getAttrs = names: set: genAttrs names (n: set.${n});
  overrideExisting = old: new: mapAttrs (n: v: new.${n} or v) old;
  nameValuePair = name: value: { inherit name value; };
  optionalAttrs = condition: set: if condition then set else { };

  attrByPath =
    path: default: set:
    if path == [ ] then
      set
    else if isAttrs set && set ? ${head path} then
      attrByPath (tail path) default set.${head path}
    else
      default;
  hasAttrByPath =
    path: set:
    path == [ ]
    || (isAttrs set && set ? ${head path} && hasAttrByPath (tail path) set.${head path});
  getAttrFromPath =
    path: set:
    attrByPath path (abort "cannot find attribute '${lib.concatStringsSep "." path}'") set;
  setAttrByPath = path: value: lib.foldr (n: v: { ${n} = v; }) value path;
  longestValidPathPrefix =
    path: set:
    lib.findFirst (p: hasAttrByPath p set) [ ] (
      builtins.genList (i: lib.take (length path - i) path) (length path + 1)
    );

  filterAttrs =
    p: set: builtins.removeAttrs set (builtins.filter (n: !p n set.${n}) (attrNames set));
  filterAttrsRecursive =
    p: set:
    mapAttrs (_: v: if isAttrs v then filterAttrsRecursive p v else v) (filterAttrs p set);
  foldlAttrs =
    f: init: set:
    foldl' (acc: n: f acc n set.${n}) init (attrNames set);
  foldAttrs =
    op: nul: sets:
    builtins.zipAttrsWith (_: lib.foldr op nul) sets;
  collect =
    p: set:
    if p set then
      [ set ]
    else if isAttrs set then
      builtins.concatMap (collect p) (builtins.attrValues set)
    else
      [ ];
  cartesianProduct =
    sets:
    foldl' (
      acc: n: builtins.concatMap (attrs: map (v: attrs // { ${n} = v; }) sets.${n}) acc
    ) [ { } ] (attrNames sets);
  mapCartesianProduct = f: sets: map f (cartesianProduct sets);

  mapAttrs' = f: set: listToAttrs (map (n: f n set.${n}) (attrNames set));
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  attrsToList = mapAttrsToList nameValuePair;
  concatMapAttrs = f: set: mergeAttrsList (mapAttrsToList f set);
  mergeAttrsList = foldl' (a: b: a // b) { };
  genAttrs =
    names: f:
    genAttrs' names (n: nameValuePair n (f n));
  genAttrs' = xs: f: listToAttrs (map f xs);

  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond =
    descend: f: set:
    let
      go =
        path:
        mapAttrs (
          n: v: if isAttrs v && descend v then go (path ++ [ n ]) v else f (path ++ [ n ]) v
        );
    in
    go [ ] set;
  mapAttrsToListRecursive = f: mapAttrsToListRecursiveCond (_: _: true) f;
  mapAttrsToListRecursiveCond =
    descend: f: set:
    let
      go =
        path: v:
        if isAttrs v && (path == [ ] || descend path v) then
          builtins.concatMap (n: go (path ++ [ n ]) v.${n}) (attrNames v)
        else
          [ (f path v) ];
    in
    go [ ] set;

  zipAttrsWithNames =
    names: f: sets:
    listToAttrs (map (n: nameValuePair n (f n (builtins.catAttrs n sets))) names);
  zipAttrs = builtins.zipAttrsWith (_: vs: vs);

  recursiveUpdateUntil =
    stop: lhs: rhs:
    let
      go =
        path:
        builtins.zipAttrsWith (
          n: vs:
          let
            here = path ++ [ n ];
          in
          # vs is [ rhs lhs ] where both have the name, else one of the two.
          if length vs == 1 || stop here (builtins.elemAt vs 1) (head vs) then
            head vs
          else
            go here vs
        );
    in
    go [ ] [ rhs lhs ];
  recursiveUpdate = recursiveUpdateUntil (
    _: l: r:
    !(isAttrs l && isAttrs r)
  );
  # Updates given as a list of { path; update; }, applied to leaves only.
  updateManyAttrsByPath =
    updates: set:
    let
      apply =
        u: v:
        if u.path == [ ] then
          u.update v
        else
          v
          // {
            ${head u.path} = apply (u // { path = tail u.path; }) (
              v.${head u.path} or { }
            );
          };
    in
    foldl' (v: u: apply u v) set (lib.sortOn (u: -length u.path) updates);
  unionOfDisjoint =
    a: b:
    let
      both = builtins.intersectAttrs a b;
    in
    (a // b)
    // mapAttrs (
      n: _: throw "unionOfDisjoint: collision on ${n}; complete list: ${toString (attrNames both)}"
    ) both;
  matchAttrs =
    pattern: set:
    builtins.all (
      n:
      set ? ${n}
      && (
        if isAttrs pattern.${n} && isAttrs set.${n} then
          matchAttrs pattern.${n} set.${n}
        else
          pattern.${n} == set.${n}
      )
    ) (attrNames pattern);

  showAttrPath =
    path:
    if path == [ ] then
      "<root attribute path>"
    else
      lib.concatMapStringsSep "." lib.strings.escapeNixIdentifier path;
  isDerivation = v: v.type or null == "derivation";
  toDerivation =
    path:
    let
      out = builtins.storePath path;
      self = {
        type = "derivation";
        name = lib.strings.sanitizeDerivationName (
          builtins.substring 33 (-1) (baseNameOf out)
        );
        outPath = out;
        outputs = [ "out" ];
        out = self;
        outputName = "out";
      };
    in
    self;
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };

  getOutput =
    output: pkg:
    if !(pkg.outputSpecified or false) then pkg.${output} or pkg.out or pkg else pkg;
  getFirstOutput =
    candidates: pkg:
    let
      found = lib.findFirst (o: pkg ? ${o}) null candidates;
    in
    if pkg.outputSpecified or false || found == null then pkg else pkg.${found};
  getBin = getOutput "bin";
  getLib = getOutput "lib";
  getDev = getOutput "dev";
  getMan = getOutput "man";
  chooseDevOutputs = map getDev;
}
