{ lib }:
let
  inherit (builtins) elemAt length genList;
in
rec {
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    head
    isList
    length
    map
    partition
    sort
    tail
    ;

  singleton = x: [ x ];
  toList = x: if builtins.isList x then x else [ x ];
  forEach = xs: f: map f xs;

  foldr =
    f: nul: xs:
    let
      from = i: if i == length xs then nul else f (elemAt xs i) (from (i + 1));
    in
    from 0;
  fold = foldr;
  foldl =
    f: nul: xs:
    let
      upTo = i: if i == -1 then nul else f (upTo (i - 1)) (elemAt xs i);
    in
    upTo (length xs - 1);

  imap0 = f: xs: genList (i: f i (elemAt xs i)) (length xs);
  imap1 = f: imap0 (i: f (i + 1));
  ifilter0 =
    p: xs:
    map (i: elemAt xs i) (builtins.filter (i: p i (elemAt xs i)) (genList (i: i) (length xs)));

  flatten = x: if builtins.isList x then builtins.concatMap flatten x else [ x ];
  remove = x: builtins.filter (y: y != x);
  optional = condition: x: if condition then [ x ] else [ ];
  optionals = condition: xs: if condition then xs else [ ];
  count = p: foldl' (n: x: if p x then n + 1 else n) 0;

  findFirstIndex =
    p: default: xs:
    let
      hits = builtins.filter (i: p (elemAt xs i)) (genList (i: i) (length xs));
    in
    if hits == [ ] then default else builtins.head hits;
  findFirst =
    p: default: xs:
    let
      i = findFirstIndex p null xs;
    in
    if i == null then default else elemAt xs i;
  findSingle =
    p: default: multiple: xs:
    let
      found = builtins.filter p xs;
    in
    if found == [ ] then
      default
    else if length found > 1 then
      multiple
    else
      builtins.head found;

  range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);
  replicate = n: x: genList (_: x) n;
  reverseList =
    xs:
    let
      n = length xs;
    in
    genList (i: elemAt xs (n - i - 1)) n;

  sortOn =
    key: xs:
    map (e: e.x) (
      builtins.sort (a: b: a.key < b.key) (
        map (x: {
          inherit x;
          key = key x;
        }) xs
      )
    );
  compareLists =
    cmp: a: b:
    if a == [ ] then
      if b == [ ] then 0 else -1
    else if b == [ ] then
      1
    else
      let
        first = cmp (builtins.head a) (builtins.head b);
      in
      if first != 0 then first else compareLists cmp (builtins.tail a) (builtins.tail b);
  # Sorts "a9" before "a10": runs of digits compare as numbers.
  naturalSort =
    xs:
    let
      parts =
        s:
        map (p: if builtins.isList p then lib.toIntBase10 (builtins.head p) else p) (
          builtins.split "(0|[1-9][0-9]*)" s
        );
      cmp = compareLists (
        a: b:
        if builtins.typeOf a == builtins.typeOf b then
          lib.compare a b
        else if builtins.isInt a then
          -1
        else
          1
      );
    in
    map (e: builtins.elemAt e 1) (
      builtins.sort (a: b: cmp (builtins.head a) (builtins.head b) < 0) (
        map (s: [
          (parts s)
          s
        ]) xs
      )
    );

  # Topological order by `before a b`; { result; } or { cycle; loops; }.
  listDfs =
    stopOnCycles: before: xs:
    let
      visit =
        us: visited: rest:
        let
          cyclic = builtins.filter (x: before x us) visited;
          split = builtins.partition (x: before x us) rest;
        in
        if stopOnCycles && cyclic != [ ] then
          {
            cycle = us;
            loops = cyclic;
            inherit visited rest;
          }
        else if split.right == [ ] then
          {
            minimal = us;
            inherit visited rest;
          }
        else
          visit (builtins.head split.right) ([ us ] ++ visited) (
            builtins.tail split.right ++ split.wrong
          );
    in
    visit (builtins.head xs) [ ] (builtins.tail xs);
  toposort =
    before: xs:
    let
      step = listDfs true before xs;
      others = toposort before (step.visited ++ step.rest);
    in
    if length xs < 2 then
      { result = xs; }
    else if step ? cycle then
      {
        cycle = reverseList ([ step.cycle ] ++ step.visited);
        inherit (step) loops;
      }
    else if others ? cycle then
      others
    else
      { result = [ step.minimal ] ++ others.result; };

  take = n: sublist 0 n;
  takeEnd = n: xs: drop (lib.max 0 (length xs - n)) xs;
  drop = n: xs: sublist n (length xs) xs;
  dropEnd = n: xs: take (lib.max 0 (length xs - n)) xs;
  sublist =
    start: count: xs:
    let
      n = length xs;
      size =
        if start >= n then
          0
        else if start + count > n then
          n - start
        else
          count;
    in
    genList (i: elemAt xs (start + i)) size;
  hasPrefix = prefix: xs: take (length prefix) xs == prefix;
  removePrefix =
    prefix: xs:
    if hasPrefix prefix xs then
      drop (length prefix) xs
    else
      throw "lib.lists.removePrefix: First argument is not a list prefix of the second argument";
  commonPrefix =
    a: b:
    let
      n = lib.min (length a) (length b);
    in
    take (findFirstIndex (i: elemAt a i != elemAt b i) n (range 0 (n - 1))) a;

  last =
    xs:
    if xs == [ ] then throw "lists.last: list must not be empty!" else elemAt xs (length xs - 1);
  init =
    xs: if xs == [ ] then throw "lists.init: list must not be empty!" else take (length xs - 1) xs;

  zipListsWith =
    f: a: b:
    genList (i: f (elemAt a i) (elemAt b i)) (lib.min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  crossLists = f: foldl (fs: args: builtins.concatMap (g: map g args) fs) [ f ];

  unique = foldl' (seen: x: if builtins.elem x seen then seen else seen ++ [ x ]) [ ];
  uniqueStrings = xs: builtins.attrNames (builtins.groupBy (x: x) xs);
  allUnique = xs: length (unique xs) == length xs;
  intersectLists = a: builtins.filter (x: builtins.elem x a);
  subtractLists = a: builtins.filter (x: !builtins.elem x a);
  mutuallyExclusive = a: b: !builtins.any (x: builtins.elem x b) a;
  groupBy' =
    op: nul: key: xs:
    builtins.mapAttrs (_: foldl op nul) (builtins.groupBy key xs);
  concatAttrValues = set: builtins.concatLists (builtins.attrValues set);
  replaceElemAt =
    xs: i: x:
    genList (j: if i == j then x else elemAt xs j) (length xs);
}
