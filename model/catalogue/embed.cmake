# Writes the documents of the catalogue as arrays of bytes into the C file OUT. Run by the build:
#     cmake -DOUT=... -DFOLDER=... -P embed.cmake
set(arrays "")
set(parts "")
foreach(name aws azure gcp generic)
    file(READ ${FOLDER}/${name}.yaml hex HEX)
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(APPEND arrays "static const unsigned char ${name}[] = {\n${bytes}0x00};\n")
    string(TOUPPER ${name} upper)
    string(APPEND parts
        "    [CATALOGUE_${upper}] = {\"${name}.yaml\", (const char *)${name}, sizeof(${name}) - 1},\n")
endforeach()
file(WRITE ${OUT} "#include \"model/catalogue.h\"\n\n${arrays}\n\
const struct catalogue_part catalogue_parts[CATALOGUE_PARTS] = {\n${parts}};\n")
