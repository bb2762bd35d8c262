# What flake.nix uses of nixpkgs' library, without nixpkgs.
rec {
  makeLibraryPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/lib") packages);
  makeBinPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);
  genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
  hasSuffix = suffix: text:
    let length = builtins.stringLength text; own = builtins.stringLength suffix; in
    length >= own && builtins.substring (length - own) own text == suffix;
  licenses.asl20 = "Apache-2.0";
  # The packages that it names.
  packages = genAttrs [
    "bash" "binutils" "coreutils" "diffutils" "findutils" "gawk" "gcc" "git" "gnugrep" "gnumake" "gnused" "ncurses"
    "python38" "util-linux" "zlib"
  ];
}
