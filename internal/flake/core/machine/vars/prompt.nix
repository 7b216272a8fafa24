# A question whose answer the script reads from `$prompts/<name>`.
{ lib, name, ... }:
let
  inherit (lib) mkOption types;

  text =
    description:
    mkOption {
      type = types.nullOr types.str;
      default = null;
      inherit description;
    };
in
{
  options = {
    name = mkOption {
      type = types.strMatching "[^/[:space:]]+";
      default = name;
      readOnly = true;
      description = "The name of the prompt.";
    };

    description = mkOption {
      type = types.str;
      default = name;
      defaultText = lib.literalMD "the name";
      example = "The passphrase of the wireless network";
      description = "The question.";
    };

    type = mkOption {
      type = types.enum [
        "hidden"
        "line"
        "multiline"
        "multiline-hidden"
      ];
      default = "line";
      example = "hidden";
      description = "How the answer is typed, and whether it is shown.";
    };

    persist = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the answer itself is a file of the generator, by the prompt's name.";
    };

    display = {
      group = text "The heading that the prompt appears under.";
      label = text "A short name to show.";
      helperText = text "A hint to show.";
      required = mkOption {
        type = types.bool;
        default = true;
        description = "Whether the answer may not be empty.";
      };
    };
  };
}
