# The variables that name a file or folder of the caller, for the scripts that pass them on to another folder or into a
# container (sourced).
# shellcheck shell=bash disable=SC2034
file_variables='MODEL CALIB INPUT LABELS OUT LOG BASE SPEC SAMPLE APP DEST SECOND SECOND_SPEC'

names_file() { # variable
    [[ " $file_variables " == *" $1 "* ]]
}
