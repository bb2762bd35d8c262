# The variables that name a file or folder of the caller, for the scripts that pass them on to another folder or into a
# container (sourced).
# shellcheck shell=bash disable=SC2034
file_variables='MODEL CALIB INPUT LABELS OUT LOG BASE SPEC SAMPLE APP DEST SECOND SECOND_SPEC'

names_file() { # variable
    [[ " $file_variables " == *" $1 "* ]]
}

# FILES as `files`: one name or pattern, with spaces in it or not, where there is such a file, else several of them.
split_files() {
    files=("${FILES:-}")
    [ ! -e "${files[0]}" ] || return 0
    local IFS=
    # shellcheck disable=SC2206
    files=(${FILES:-})
    [ ! -e "${files[0]:-}" ] || return 0
    IFS=$' \t\n'
    # shellcheck disable=SC2206
    files=(${FILES:-})
}
