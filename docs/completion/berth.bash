# Completion of `berth` for bash: source <(berth completion bash)
_berth() {
    local IFS=$'\n'
    mapfile -t COMPREPLY < <(berth __complete "$COMP_CWORD" "${COMP_WORDS[@]}" 2>/dev/null)
    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default
    [[ ${COMPREPLY[0]:-} != *[/=] ]] || compopt -o nospace
}
complete -F _berth berth
