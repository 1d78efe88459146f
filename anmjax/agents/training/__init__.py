"""What a training of any algorithm needs: chunks on devices, files, progress, how it stops and goes on."""
